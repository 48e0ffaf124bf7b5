"""What can be tuned: limits, timing and access, as frozen dataclasses.

Every value is validated when the object is made, so that the rest of the package trusts it. An
RPyC-style ``config`` dictionary becomes the same three objects through `from_config`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from numbers import Real
from typing import Any

__all__ = [
    "SAFE_ATTRIBUTES",
    "TLS",
    "Access",
    "Limits",
    "Timing",
    "check_seconds",
    "checked_limits",
    "from_config",
    "read_fingerprint",
]

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

SAFE_ATTRIBUTES = frozenset(
    [
        "__abs__",
        "__add__",
        "__and__",
        "__bool__",
        "__call__",
        "__contains__",
        "__delitem__",
        "__divmod__",
        "__doc__",
        "__enter__",
        "__eq__",
        "__exit__",
        "__float__",
        "__floordiv__",
        "__format__",
        "__ge__",
        "__getitem__",
        "__gt__",
        "__hash__",
        "__iadd__",
        "__iand__",
        "__ifloordiv__",
        "__ilshift__",
        "__imatmul__",
        "__imod__",
        "__imul__",
        "__index__",
        "__int__",
        "__invert__",
        "__ior__",
        "__ipow__",
        "__irshift__",
        "__isub__",
        "__iter__",
        "__itruediv__",
        "__ixor__",
        "__le__",
        "__len__",
        "__length_hint__",
        "__lshift__",
        "__lt__",
        "__matmul__",
        "__mod__",
        "__mul__",
        "__ne__",
        "__neg__",
        "__next__",
        "__or__",
        "__pos__",
        "__pow__",
        "__radd__",
        "__rand__",
        "__rdivmod__",
        "__repr__",
        "__reversed__",
        "__rfloordiv__",
        "__rlshift__",
        "__rmatmul__",
        "__rmod__",
        "__rmul__",
        "__ror__",
        "__round__",
        "__rpow__",
        "__rrshift__",
        "__rshift__",
        "__rsub__",
        "__rtruediv__",
        "__rxor__",
        "__setitem__",
        "__str__",
        "__sub__",
        "__truediv__",
        "__trunc__",
        "__floor__",
        "__ceil__",
        "__xor__",
        "__aiter__",
        "__anext__",
        "__aenter__",
        "__aexit__",
    ]
)
"""Special methods that a peer may use on what it was handed: arithmetic, comparison, containers,
iteration and context managers. None of them leads to a class, a frame, a module or a namespace."""


def check_seconds(what: str, value: object, *, endless: bool = True) -> None:
    """Refuse what is no number of seconds.

    Parameters
    ----------
    endless
        Whether None, which is no limit, is right as well.

    Raises
    ------
    TypeError
        It is no number.
    """
    if value is None and endless:
        return
    if not isinstance(value, Real) or value != value:  # noqa: PLR0124 - nan
        raise TypeError(f"{what} is a number of seconds, not {value!r}")


def checked_limits(limits: Limits | None) -> Limits:
    """Give these limits, or the usual ones for None.

    Raises
    ------
    TypeError
        They are none.
    """
    if limits is None:
        return DEFAULT_LIMITS
    if not isinstance(limits, Limits):
        raise TypeError(f"limits are an nbrpc.Limits, not {limits!r}")
    return limits


def _require(condition: bool, message: str) -> None:  # noqa: FBT001 - a check reads best like this
    if not condition:
        raise ValueError(message)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a peer may make this side hold; each is checked before memory is taken.

    Parameters
    ----------
    handshake
        Bytes that a peer may send before it is authenticated. 1 KiB holds the longest Hello.
    body
        Bytes of the structural part of one message (websockets allows 1 MiB, gRPC 4 MiB); large
        text, bytes and arrays travel beside it.
    buffers
        Bytes of all out-of-band buffers of one message.
    depth
        Nesting of containers in one value (Cap'n Proto: 64).
    elements
        Items of one message, over all its containers.
    odd_keys
        Dictionary keys and set members in one message whose hash another of them has, save for str
        and bytes: many of them make a dictionary slow. On RPyC's wire all members of frozensets
        count that are neither str nor bytes.
    exported
        Objects that one connection may hold of ours.
    requests
        Requests of one connection that may be outstanding, in each direction.
    queued_bytes
        Bytes of small messages that may wait for a peer that does not read; beyond that the link
        ends (NATS cuts a slow client at 64 MB). Large data does not count: it waits with its owner.
    events
        Bytes of the events of one subscription that may wait on either side, for a subscriber that
        is slow or does not read; its policy says what becomes of the rest.
    nesting
        Calls within calls of one chain.
    connections, unauthenticated
        Connections of one server, and those of them that have not yet shown a token.
    sessions
        Named sessions of one server: each has a namespace, which may hold much.
    session_results, session_output
        Results of cells that a named session keeps, and bytes of all their output; the oldest go.
    """

    handshake: int = 1 * KIB
    body: int = 1 * MIB
    buffers: int = 1 * GIB
    depth: int = 64
    elements: int = 1_000_000
    odd_keys: int = 1_000
    exported: int = 100_000
    requests: int = 65_536
    queued_bytes: int = 64 * MIB
    events: int = 8 * MIB
    nesting: int = 200
    connections: int = 1_024
    unauthenticated: int = 64
    sessions: int = 64
    session_results: int = 100
    session_output: int = 16 * MIB

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            _require(
                isinstance(value, int) and not isinstance(value, bool) and value > 0,
                f"Limits.{item.name} is a whole number above 0, not {value!r}",
            )
        _require(self.body < 2**32, "Limits.body must fit 32 bits")


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds; None is no limit.

    A link is *dead* when the peer's machine or the way to it is gone, and ends at once when its
    process is. A peer is *silent* when its process does not answer though it is there: code that
    does not let other threads run computes in it, or it was stopped. A silent peer is waited for.

    Parameters
    ----------
    heartbeat
        A ping is sent when nothing was received for so long, or for a third of ``dead_after`` or of
        ``silent_after`` where that is less. A peer that lets it wait for as long again is silent
        (`Connection.state`). With None it never is.
    dead_after
        A link is dead when TCP has no acknowledgement for so long: Linux tells that of itself;
        elsewhere TCP's probes find it out, in about that time. What only looks like the peer may
        acknowledge: a proxy, a forwarded port. When the peer dies behind it and it says nothing,
        the peer is silent. Pipes, Unix sockets and commands end with their process and are never
        dead by time; ``ssh`` ends in that time when its server's machine is gone, while the server
        there goes by what its sshd is told (ClientAliveInterval).
    silent_after
        A connection is ended when its peer was silent for so long, counted from the last byte,
        whatever it is busy with. A peer that speaks RPyC's protocol is never silent.
    call
        The default deadline of a blocking call.
    frame
        A message that has begun comes whole within so long, or at 1 KiB a second at least: what is
        held for it is not held for ever. The sender may be silent meanwhile.
    handshake
        From the first byte to an authenticated connection, in total.
    session_expiry
        A named session without connections and running cells ends after so long.
    """

    heartbeat: float | None = 5.0
    dead_after: float | None = 15.0
    silent_after: float | None = None
    call: float | None = None
    frame: float | None = 600.0
    handshake: float = 5.0
    session_expiry: float | None = 86_400.0

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if value is None and item.name != "handshake":
                continue
            _require(
                isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0,
                f"Timing.{item.name} is a number of seconds above 0, not {value!r}",
            )
        _require(
            self.heartbeat is not None or self.silent_after is None,
            "Timing.silent_after needs Timing.heartbeat: an idle peer says nothing without pings",
        )


@dataclass(frozen=True, slots=True)
class Access:
    """Which names of our objects the peer may reach; the fields carry RPyC's names and meanings.

    ``allow_code`` is ours: whether the peer may run code (``modules``, ``eval``, ``%%remote``).
    """

    allow_safe_attrs: bool = True
    allow_exposed_attrs: bool = True
    allow_public_attrs: bool = False
    allow_all_attrs: bool = False
    safe_attrs: frozenset[str] = field(default=SAFE_ATTRIBUTES)
    exposed_prefix: str = "exposed_"
    allow_getattr: bool = True
    allow_setattr: bool = False
    allow_delattr: bool = False
    include_local_traceback: bool = True
    include_local_version: bool = True
    allow_pickle: bool = False
    allow_code: bool = False

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name == "safe_attrs":
                _require(
                    isinstance(value, frozenset) and all(isinstance(name, str) for name in value),
                    "Access.safe_attrs is a frozenset of names",
                )
            elif item.name == "exposed_prefix":
                _require(isinstance(value, str), "Access.exposed_prefix is a string")
            else:
                _require(isinstance(value, bool), f"Access.{item.name} is True or False")


def read_fingerprint(text: str) -> str:
    """Give the fingerprint of a certificate in one form: ``sha256:`` and 64 small digits.

    Parameters
    ----------
    text
        The same, or as ``openssl x509 -fingerprint -sha256`` writes it: large, with colons.

    Raises
    ------
    ValueError
        It is none.
    """
    kind, _, digits = text.strip().partition(":")
    digits = digits.replace(":", "").lower()
    if kind.lower() != "sha256" or len(digits) != 64 or set(digits) - set("0123456789abcdef"):
        raise ValueError(
            f"{text[:100]!r} is no fingerprint: write sha256: and 64 hexadecimal digits, as the "
            "server prints them"
        )
    return f"sha256:{digits}"


@dataclass(frozen=True, slots=True)
class TLS:
    """How a connection is encrypted, and how the other side is known.

    A client verifies the server: by its host name and a certificate that the system (or ``ca``)
    trusts, or by a fingerprint.

    Parameters
    ----------
    cert, key
        Files with this side's certificate (its chain after it) and its private key, as PEM; the key
        may be in the file of the certificate. A server needs them, a client only where the server
        asks for a certificate.
    ca
        A file with the certificates that vouch for the other side, instead of the system's. On a
        server it makes TLS mutual: clients must show a certificate that one of them vouches for.
    fingerprint
        On a client: ``sha256:...`` of the server's certificate. It takes the place of all other
        checks of the certificate.
    insecure_no_verify
        On a client: take any certificate. Whoever sits between can then read and change all.

    Raises
    ------
    ValueError
        They do not go together.
    """

    cert: str | os.PathLike[str] | None = None
    key: str | os.PathLike[str] | None = None
    ca: str | os.PathLike[str] | None = None
    fingerprint: str | None = None
    insecure_no_verify: bool = False

    def __post_init__(self) -> None:
        for name in ("cert", "key", "ca"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, str | os.PathLike):
                raise TypeError(f"TLS.{name} is the path of a file, not {type(value).__name__}")
        _require(self.cert is not None or self.key is None, "TLS.key needs TLS.cert as well")
        if self.fingerprint is not None:
            if not isinstance(self.fingerprint, str):
                raise TypeError("TLS.fingerprint is a text: sha256:...")
            object.__setattr__(self, "fingerprint", read_fingerprint(self.fingerprint))
        _require(
            isinstance(self.insecure_no_verify, bool), "TLS.insecure_no_verify is True or False"
        )
        _require(
            not (self.insecure_no_verify and (self.fingerprint or self.ca)),
            "TLS.insecure_no_verify checks nothing: leave out fingerprint and ca, or verify",
        )


CODE_ACCESS = Access(
    allow_all_attrs=True,
    allow_public_attrs=True,
    allow_setattr=True,
    allow_delattr=True,
    allow_code=True,
)
"""What a classic peer may do: everything."""

DEFAULT_ACCESS = Access()
DEFAULT_LIMITS = Limits()
DEFAULT_TIMING = Timing()

IGNORED_CONFIG = frozenset(
    [
        "instantiate_custom_exceptions",
        "import_custom_exceptions",
        "instantiate_oldstyle_exceptions",
        "propagate_SystemExit_locally",
        "propagate_KeyboardInterrupt_locally",
        "log_exceptions",
        "connid",
        "credentials",
        "endpoints",
        "logger",
        "before_closed",
        "close_catchall",
        "bind_threads",
    ]
)
"""Keys of RPyC's configuration that have no meaning here; accepted so that programs run."""


def from_config(
    config: Mapping[str, Any] | None, access: Access | None = None, timing: Timing | None = None
) -> tuple[Access, Timing]:
    """Turn an RPyC-style configuration dictionary into `Access` and `Timing`.

    Raises
    ------
    ValueError
        A key is unknown, or its value is of the wrong kind.
    TypeError
        It is no dictionary, or the timing no `Timing`.
    """
    if config is not None and not isinstance(config, Mapping):
        raise TypeError(f"config is a dict of RPyC's keys, not {type(config).__name__}")
    if timing is not None and not isinstance(timing, Timing):
        raise TypeError(f"timing is an nbrpc.Timing, not {timing!r}")
    access = access or DEFAULT_ACCESS
    timing = timing or DEFAULT_TIMING
    if not config:
        return access, timing
    names = {item.name for item in fields(Access)}
    changes: dict[str, Any] = {}
    for key, value in config.items():
        if key == "sync_request_timeout":
            timing = replace(timing, call=value)
        elif key == "safe_attrs":
            changes[key] = frozenset(value)
        elif key in names:
            changes[key] = (value or "") if key == "exposed_prefix" else value
        elif key not in IGNORED_CONFIG:
            known = ", ".join(sorted(names | {"sync_request_timeout"}))
            raise ValueError(f"unknown configuration key {key!r}; known are: {known}")
    return replace(access, **changes), timing
