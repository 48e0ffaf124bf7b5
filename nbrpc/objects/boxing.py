"""The tables of one session that make wire values of objects, and objects of wire values.

Data is copied, objects stay where they are and the peer gets a proxy. How much of a value is copied
is the form of its draft (`nbrpc.objects.draft`); how each kind of value is written is in
``writing``, and how the peer reads it in ``unboxing``.

Nothing here blocks. Of the user's code only the ``repr`` of copied records may run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from io import BytesIO
from types import NoneType
from typing import Any

from nbrpc.errors import RemoteProtocolError
from nbrpc.objects.access import Policy
from nbrpc.objects.describe import describe, description_key
from nbrpc.objects.draft import (
    DATA,
    DEEP,
    SHALLOW,
    ByReference,
    ByValue,
    Draft,
    Refused,
    by_reference,
    by_value,
)
from nbrpc.objects.error_classes import ErrorClasses
from nbrpc.objects.refs import Exports, Imports
from nbrpc.objects.unboxing import Reader, references_in
from nbrpc.objects.writing import AS_THEY_ARE, SHORT_TEXT, WRITERS, write_other
from nbrpc.options import Limits
from nbrpc.protocol import codec
from nbrpc.protocol.codec import MAX_INT, MIN_INT, Box, Description, Value

__all__ = ["Boxing", "ByReference", "ByValue", "Draft", "by_reference", "by_value"]

UNKNOWN = Description("builtins", "object", "instance", {}, (), None, "")


class Boxing:
    """The boxing of one session.

    Parameters
    ----------
    policy
        What the peer may see, for descriptions.
    limits
        For exported objects, depth and odd keys.
    guard
        The state lock of the session; held around the tables only.
    make_proxy
        From an object id, the key of its description, the description and the text of a reference
        to a new proxy.
    home
        From an object to (oid, path) when it is a proxy of the peer's object on this very
        connection, else None.
    """

    data_form: int = DATA
    """The most that is copied unasked; SHALLOW under RPyC's names, which lend data."""

    def __init__(
        self,
        policy: Policy,
        limits: Limits,
        guard: AbstractContextManager[object],
        make_proxy: Callable[[codec.Ref, Description], object],
        home: Callable[[object], tuple[int, str] | None],
    ) -> None:
        self.policy = policy
        self.limits = limits
        self.guard = guard
        self.exports = Exports(limits.exported)
        self.imports = Imports()
        self.known: set[object] = set()
        """Keys of descriptions that the peer has."""
        self.records: dict[object, Any] = {}
        """The classes of the records that the peer has sent."""
        self.sent_records: set[object] = set()
        """Those that were sent: no more than the peer takes."""
        self.errors: ErrorClasses | None = ErrorClasses()
        """The exceptions of this connection; None where the wire does not tell of their classes."""
        self._keys: dict[object, int] = {}
        self._descriptions: dict[int, Description] = {}
        self._make_proxy = make_proxy
        self._home = home

    # ---- boxing

    def box_plain(self, args: Iterable[object]) -> bool:
        """Whether every argument can be sent as it is; the quick way for the usual case."""
        for arg in args:
            kind = type(arg)
            if kind is int:
                if not MIN_INT <= arg <= MAX_INT:  # type: ignore[operator]
                    return False
            elif kind is str:
                if len(arg) > SHORT_TEXT or not arg.isascii():  # type: ignore[arg-type,attr-defined]
                    return False
            elif kind is not float and kind is not NoneType and kind is not bool:
                return False
        return True

    def draft(self, form: int = DATA, *, back: bool = False, stays: bool = False) -> Draft:
        """Begin a message; see `Draft`. Data goes by reference where `data_form` says so."""
        if form < DEEP:
            form = min(form, self.data_form)
        return Draft(self, form, back=back, stays=stays)

    def box(self, obj: object, draft: Draft) -> Value:
        """Box an object: by value what the form of the draft copies, else by reference.

        Raises
        ------
        NotSendable
            Something in it can neither be copied nor lent, or is to be copied and cannot be; the
            message names the path to it. Nothing was counted that ``draft.undo`` does not take
            back.
        LimitExceeded
            The peer holds too many objects, or there are too many elements.
        """
        kind = type(obj)
        if kind in AS_THEY_ARE:
            return obj  # type: ignore[return-value]
        writer = WRITERS.get(kind)
        if writer is not None:
            return writer(self, obj, draft)
        home = self._home(obj)
        if home is not None:
            if draft.hashing:
                raise Refused("is a proxy, which cannot be hashed on the other side", obj)
            return codec.Home(*home)
        return write_other(self, obj, draft)

    @property
    def error_classes(self) -> ErrorClasses | None:
        """What failures and classes of exceptions that are sent go through; None as in RPyC."""
        return self.errors if self.data_form > SHALLOW else None

    def is_home(self, obj: object) -> bool:
        """Whether this is a proxy of an object of the peer."""
        return self._home(obj) is not None

    def box_reference(self, obj: object, draft: Draft, text: str | None = None) -> codec.Ref:
        """Lend an object to the peer; ``text`` is what its proxy knows without asking."""
        key = description_key(obj, self.policy)
        description = None
        if key not in self.known:
            description = describe(obj, self.policy)
        with self.guard:
            number = self._keys.setdefault(key, len(self._keys) + 1)
            oid = self.exports.lend(obj, stays=draft.stays)
        draft.lent.append(oid)
        if description is not None:
            draft.classes[number] = key, description
        return codec.Ref(oid, number, text)

    # ---- unboxing

    def unbox(self, value: Value, buffers: list[BytesIO] | None) -> Any:
        """Give the object that a wire value stands for.

        Raises
        ------
        RemoteProtocolError
            The value is not what boxing makes.
        NotSendable
            It needs a class or a library that is missing here.
        """
        return self.unbox_all([value], buffers)[0] if isinstance(value, Box) else value

    def unbox_all(self, items: list[Value], buffers: list[BytesIO] | None) -> list[Any]:
        """Unbox the values of one message; raises what `unbox` does.

        When one of them cannot be read, the references in all the others are given back.
        """
        for item in items:
            if isinstance(item, Box):
                break
        else:
            return items
        reader = Reader(self, buffers)
        try:
            return [reader.read(item) if isinstance(item, Box) else item for item in items]
        except BaseException:
            for item in items:
                self.discard(item, buffers, reader.imported)
            raise

    def import_reference(self, ref: codec.Ref) -> object:
        """Give the proxy of an object of the peer, made anew when there is none."""
        with self.guard:
            proxy = self.imports.get(ref.oid)
            if proxy is None:
                if len(self.imports) >= 10 * self.limits.exported:
                    raise RemoteProtocolError("the peer sent too many references")
                description = self._descriptions.get(ref.key, UNKNOWN)
                proxy = self._make_proxy(ref, description)
                self.imports.add(ref.oid, proxy)
        return proxy

    def learn(self, key: int, description: Description) -> None:
        """Note a description; on the thread that reads, ahead of the references that need it.

        Raises
        ------
        RemoteProtocolError
            There are too many.
        """
        known = self._descriptions
        if key not in known and len(known) >= self.limits.exported:
            raise RemoteProtocolError("the peer described too many classes")
        known.setdefault(key, description)

    def discard(
        self,
        value: object,
        buffers: list[BytesIO] | None = None,
        imported: dict[int, int] | None = None,
    ) -> None:
        """Give back the references in a value that nobody will unbox.

        Parameters
        ----------
        buffers
            What came beside the message that it is of.
        imported
            How many references by object id became proxies, which give themselves back; those
            that are found are taken from it.
        """
        left = imported if imported is not None else {}
        for ref in references_in(value, buffers or [], self.limits):
            if left.get(ref.oid):
                left[ref.oid] -= 1
            else:
                self.imports.owed.append((ref.oid, 1))
