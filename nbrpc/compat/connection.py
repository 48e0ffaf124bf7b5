"""The connection that RPyC's names give: nbrpc's own, with what RPyC's users reach for."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any
from weakref import WeakMethod

from nbrpc.compat.constants import DEFAULT_CONFIG
from nbrpc.compat.exceptions import custom_errors
from nbrpc.compat.requests import run_request
from nbrpc.errors import ConnectionLost
from nbrpc.objects.draft import SHALLOW
from nbrpc.options import CODE_ACCESS, IGNORED_CONFIG, Access, Timing, from_config
from nbrpc.session.calling import async_
from nbrpc.session.connection import Connection
from nbrpc.session.dispatch import Workers
from nbrpc.session.opening import policy_for
from nbrpc.session.result import AsyncResult
from nbrpc.session.session import Session
from nbrpc.transports.sockets import socket_below

__all__ = ["Configuration", "RpycConnection", "full_config", "known_config", "when_ended"]

KNOWN = {item.name for item in fields(Access)} | IGNORED_CONFIG | {"sync_request_timeout"}

CUSTOM = frozenset({"instantiate_custom_exceptions", "import_custom_exceptions"})


def full_config(config: Mapping[str, Any] | None) -> dict[str, Any]:
    """Give a configuration with RPyC's defaults for what it leaves out."""
    return {**DEFAULT_CONFIG, **(config or {})}


def known_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Give what of a configuration nbrpc knows: RPyC takes any other key, and ignores it."""
    return {key: value for key, value in config.items() if key in KNOWN}


def when_ended(session: Session, function: Callable[[], object]) -> None:
    """Call a function when a session has ended; at once when it has already."""
    before = session.on_end

    def ended(ending: Session) -> None:
        if before is not None:
            before(ending)
        function()

    session.on_end = ended
    if session.closed:
        function()


class Configuration(dict[str, Any]):
    """The configuration of a connection; what is changed in it holds from then on."""

    def __init__(self, values: Mapping[str, Any], changed: Callable[[set[str]], object]) -> None:
        super().__init__(values)
        self._changed = changed

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, value)
        self._changed({key})

    def update(self, *args: Any, **values: Any) -> None:
        """Change several at once."""
        changes: dict[str, Any] = dict(*args, **values)
        super().update(changes)
        self._changed(set(changes))


class RpycConnection(Connection):
    """A connection as RPyC's programs know it.

    It is an `nbrpc.Connection`: what that documents holds here too.

    Parameters
    ----------
    config
        RPyC's configuration keys, with which the session was opened.
    """

    proc: Any = None
    """The process at the other end, of `connect_subproc`."""

    def __init__(
        self,
        session: Session,
        about: dict[str, str],
        url: str,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        configured = WeakMethod(self._configured)
        self._config = Configuration(full_config(config), lambda keys: changed(configured, keys))
        super().__init__(session, about, url)
        session.boxing.data_form = SHALLOW
        self._begun_to_close = False
        self._configured(set(CUSTOM))
        if self._config["connid"] is None:
            self._config["connid"] = url
        sock = socket_below(session.transport)
        if sock is not None:
            with contextlib.suppress(OSError):  # the peer is gone
                self._config["endpoints"] = sock.getsockname(), sock.getpeername()

    @property
    def credentials(self) -> object:
        """What an authenticator found out of the peer; also in the configuration, as in RPyC."""
        return self._config["credentials"]

    @credentials.setter
    def credentials(self, value: object) -> None:
        self._config["credentials"] = value

    def _configured(self, keys: set[str]) -> None:
        """Have a change of the configuration take effect."""
        session = self.session
        if "sync_request_timeout" in keys:
            seconds = self._config["sync_request_timeout"]
            # RPyC waits without end for less than no time.
            call = None if seconds is not None and seconds < 0 else seconds
            session.timing = replace(session.timing, call=call)
            session.default_timeout = call
        if not keys.isdisjoint(_ACCESS):
            access, _ = from_config(known_config(self._config), timing=Timing())
            if session.policy.access.allow_code:
                access = replace(
                    CODE_ACCESS, include_local_traceback=access.include_local_traceback
                )
            policy = policy_for(access, session.policy.side)
            session.policy = session.boxing.policy = policy
        if not keys.isdisjoint(CUSTOM):
            session.custom_error = custom_errors(self._config)

    # ---- life

    def close(self) -> None:
        """End the connection, after ``before_closed`` of the configuration was called."""
        if self.closed or self._begun_to_close:
            super().close()
            return
        self._begun_to_close = True
        before = self._config.get("before_closed")
        try:
            if before is not None:
                before(self.root)
        except Exception:  # the user's hook, as RPyC has it
            if not self._config.get("close_catchall"):
                raise
        finally:
            super().close()

    @property
    def _closed(self) -> bool:
        return self.closed

    def fileno(self) -> int:
        """Give a descriptor that is readable while requests of the peer wait for `serve`."""
        if self.closed:
            raise EOFError("the connection is closed")
        return super().fileno()

    def ping(self, data: Any = None, timeout: float | None = 3) -> float:
        """Measure a round trip; seconds."""
        return super().ping(data, timeout)

    # ---- serving

    def serve(
        self,
        timeout: Any = 1,
        wait_for_lock: bool = True,  # noqa: FBT001, FBT002 - RPyC's signature
        waiting: Any = None,
    ) -> bool:
        """Wait for requests and events of the peer, and run those that are there.

        The last two are accepted as in RPyC, where they have to do with its lock.
        """
        left = getattr(timeout, "timeleft", None)
        return super().serve(timeout if left is None else left())

    def serve_threaded(self, thread_count: int = 10) -> None:
        """Run requests of the peer on several threads until the connection ends.

        The threads are those of nbrpc, however many are asked for.
        """
        self.set_dispatcher(Workers())
        ended = threading.Event()
        when_ended(self.session, ended.set)
        try:
            ended.wait()
        finally:
            self.close()

    # ---- requests by their numbers

    def sync_request(self, handler: int, *args: Any) -> Any:
        """Make one of RPyC's requests, by its number in ``rpyc.core.consts``."""
        return run_request(self, handler, args)

    def async_request(self, handler: int, *args: Any, **kwargs: Any) -> AsyncResult:
        """Make such a request, and give its result, which may still be on its way.

        Parameters
        ----------
        timeout
            Seconds after which the result expires; the only keyword.
        """
        timeout = kwargs.pop("timeout", None)
        if kwargs:
            raise TypeError(f"async_request takes no argument {next(iter(kwargs))!r}")
        if handler == CALL:
            function, *rest = args
            positional, named = (*rest, (), ())[:2]
            result = async_(function)(*positional, **dict(named))
        else:
            result = async_(lambda: run_request(self, handler, args))()
        if timeout is not None:
            result.set_expiry(timeout)
        return result

    # ---- what classic peers add

    def teleport(self, func: Any) -> Any:
        """Make a function of this side on the peer, and give a proxy of it."""
        from nbrpc.classic.teleportation import teleport_function

        return teleport_function(self, func)

    # ---- private names that programs know

    @property
    def _channel(self) -> ChannelView:
        return ChannelView(self)

    @property
    def _local_root(self) -> Any:
        return self.session.root_object

    @property
    def _remote_root(self) -> Any:
        return self.known_root

    @property
    def _last_traceback(self) -> Any:
        failure = self.session.last_failure
        return None if failure is None else failure.__traceback__


def changed(configured: WeakMethod[Any], keys: set[str]) -> None:
    """Tell a connection of changes to its configuration, if it still is."""
    function = configured()
    if function is not None:
        function(keys)


CALL = 7

_ACCESS = {item.name for item in fields(Access)}


class ChannelView:
    """What programs look at in ``conn._channel``: whether it is open, and its socket."""

    def __init__(self, connection: RpycConnection) -> None:
        self._connection = connection

    @property
    def stream(self) -> StreamView:
        """The stream below."""
        return StreamView(self._connection)

    @property
    def closed(self) -> bool:
        """Whether the connection has ended."""
        return self._connection.closed

    def fileno(self) -> int:
        """Give the descriptor of the socket."""
        return self._connection.session.fileno()

    def close(self) -> None:
        """End the connection without a word to the peer, as a broken line would."""
        self._connection.session.lose(ConnectionLost("the channel was closed on this side"))


class StreamView(ChannelView):
    """The same for ``conn._channel.stream``."""

    @property
    def sock(self) -> Any:
        """The socket of the connection; only to look at, since the session reads and writes it."""
        return socket_below(self._connection.session.transport)
