"""What travels by value on RPyC's wire, and how classes of an RPyC peer are described.

By value go None, numbers, text, bytes, and the tuples, frozensets and slices that hold nothing
else; there is no other way to copy anything. All else is a reference. A reference names the class
of its object but does not describe it: which special methods it has is asked once for each class.
"""

from __future__ import annotations

from collections.abc import Callable
from types import (
    BuiltinFunctionType,
    CodeType,
    EllipsisType,
    FrameType,
    FunctionType,
    GeneratorType,
    MappingProxyType,
    MethodType,
    MethodWrapperType,
    ModuleType,
    NoneType,
    NotImplementedType,
    TracebackType,
    WrapperDescriptorType,
)
from typing import Any

from nbrpc.errors import NotSendable, RemoteProtocolError
from nbrpc.objects.boxing import Boxing, ByReference, ByValue, Draft
from nbrpc.objects.draft import DEEP, Refused
from nbrpc.objects.foreign import TOLD, data_base
from nbrpc.objects.mimicry import MIMICKED
from nbrpc.objects.specials import SPECIALS
from nbrpc.objects.static import is_class, lineage, namespace
from nbrpc.protocol import codec
from nbrpc.protocol.codec import Description, Value
from nbrpc.protocol.rpyc.brine import is_dumpable

__all__ = ["RpycBoxing"]

ATOMS = frozenset(
    {NoneType, bool, int, float, str, bytes, complex, EllipsisType, NotImplementedType}
)

BUILTINS: dict[str, type] = {
    f"builtins.{cls.__name__}": cls
    for cls in (
        *(BaseException, Exception, bool, bytearray, bytes, complex, dict, float, frozenset),
        *(int, list, memoryview, object, range, set, slice, str, tuple, type, GeneratorType),
        *(BuiltinFunctionType, CodeType, FrameType, FunctionType, MappingProxyType, MethodType),
        *(MethodWrapperType, ModuleType, NoneType, TracebackType, WrapperDescriptorType),
        *(type(iter(kind())) for kind in (list, tuple, set)),
        type(iter(range(0))),
    )
}
"""Classes that both sides have: nothing has to be asked about them."""

ALWAYS = ("__eq__", "__ge__", "__gt__", "__hash__", "__le__", "__lt__", "__ne__")
"""Special methods that RPyC asks of the peer whatever its class is, and never tells of."""

USABLE = SPECIALS.keys() - {"__aenter__", "__aexit__"}
"""Special methods of an RPyC peer that can be used: it hands out a coroutine, and awaits none."""

EXPOSED = "exposed_"
"""The prefix of the names that an RPyC server exposes, unless it is configured otherwise."""

MOST_METHODS = 4_096
LONGEST_NAME = 200
"""What is taken of the methods that a peer tells of a class; the rest is found by asking."""

Inspect = Callable[[int, float | None], Any]


class RpycBoxing(Boxing):
    """The boxing of a session with an RPyC peer.

    Attributes
    ----------
    class_of
        From the key of a class to the name that the peer gave it, and whether it is a class.
    inspect
        Asks the peer for the methods of one of its objects: pairs of name and docstring.
    resolve
        Gives the proxy that an attribute of a proxy leads to.
    note_class
        Tells the protocol which class an object is of, by a number.
    class_numbers
        Those numbers, by the identity of the class, which lives as long.
    tells_methods
        Whether what the peer tells then are methods only, and not classes as well.
    """

    class_of: Callable[[int], tuple[str, bool]]
    inspect: Inspect
    resolve: Callable[[int, str], Any]
    tells_methods: Callable[[], bool]
    note_class: Callable[[codec.Ref, Description, int], None]
    class_numbers: dict[int, tuple[int, object]]
    patience: float | None = None
    """Seconds that a peer may take to describe a class; None is its session's deadline."""

    def proxy(self, oid: int) -> Any:
        """Give the living proxy of an object of the peer; None if there is none."""
        with self.guard:
            reference = self.imports.entries.get(oid)
        return None if reference is None else reference()

    # ---- out

    def box(self, obj: object, draft: Draft) -> Value:
        """Box an object: by value what RPyC can copy, else by reference; raises as the base."""
        kind = type(obj)
        if kind in ATOMS:
            return obj  # type: ignore[return-value] # plain values pass as they are
        if kind is ByValue:
            return self.box_copy(obj.obj)  # type: ignore[attr-defined] # by its class
        if draft.form == DEEP:
            return self.box_copy(obj)
        if kind is ByReference:
            return self.box_reference(obj.obj, draft)  # type: ignore[attr-defined] # by its class
        if kind is tuple:
            if is_dumpable(obj):
                return obj  # type: ignore[return-value] # the same
            draft.depth += 1
            if draft.depth > self.limits.depth:
                raise Refused(f"is nested deeper than {self.limits.depth} levels", obj)
            items = [self.box(item, draft) for item in obj]  # type: ignore[attr-defined] # a tuple
            draft.depth -= 1
            return codec.Tuple(items)
        if (kind is slice or kind is frozenset) and is_dumpable(obj):
            return obj  # type: ignore[return-value] # the same
        home = self._home(obj)
        if home is not None:
            return self._box_home(*home, draft)
        return self.box_reference(obj, draft)

    def box_reference(self, obj: object, draft: Draft, text: str | None = None) -> codec.Ref:
        """Lend an object to the peer, which takes a class and its instances to belong together."""
        ref = super().box_reference(obj, draft)
        for key, description in draft.classes.values():
            cls = obj if is_class(obj) else type(obj)
            number, _ = self.class_numbers.setdefault(id(cls), (len(self.class_numbers), cls))
            self.note_class(ref, description, number)
            self.known.add(key)
        draft.classes.clear()
        return ref

    def _box_home(self, oid: int, path: str, draft: Draft) -> Value:
        """Send an object of the peer home; a method is read first, since RPyC knows no paths."""
        if path:
            proxy = self.resolve(oid, path)
            draft.keep.append(proxy)
            return self.box(proxy, draft)
        return codec.Home(oid)

    def box_copy(self, obj: object) -> Value:
        """Box an object by value.

        Raises
        ------
        NotSendable
            RPyC has no form for copies of it; nothing was sent.
        """
        if is_dumpable(obj):
            return obj  # type: ignore[return-value] # plain values pass as they are
        raise NotSendable(
            f"a {type(obj).__name__} cannot be copied to a peer that speaks RPyC: send it by "
            "reference, as a tuple of plain values, or by nbrpc.classic.deliver"
        )

    # ---- in

    def import_reference(self, ref: codec.Ref) -> object:
        """Give the proxy of an object of the peer, whose class is described first."""
        if ref.key not in self._descriptions:
            self._descriptions[ref.key] = self._describe(ref)
        return super().import_reference(ref)

    def _describe(self, ref: codec.Ref) -> Description:
        name, is_class = self.class_of(ref.key)
        module, _, short = name.rpartition(".")
        known = None if is_class else BUILTINS.get(name)
        if known is not None:
            return describe_builtin(known)
        # Held as long as it is asked about; the reference itself becomes a proxy afterwards.
        methods = methods_in(self.inspect(ref.oid, self.patience))
        specials = {method for method in methods if method in USABLE or method in TOLD}
        members = {} if is_class else members_of(methods, certain=self.tells_methods())
        if "__enter__" in specials:
            specials.add("__exit__")  # which RPyC asks for in a request of its own
        if is_class:
            specials = {"__call__"}
        return Description(
            module or "builtins",
            short,
            "class" if is_class else "instance",
            members,
            (*ALWAYS, *sorted(specials - {*ALWAYS})),
            None if is_class else data_base(module, short) or COLLECTIONS.get(name),
            "",
        )


def methods_in(told: object) -> list[str]:
    """Give the names in what a peer tells of a class: pairs of a name and a docstring.

    Raises
    ------
    RemoteProtocolError
        It is nothing of that kind.
    """
    if type(told) is not tuple:
        raise RemoteProtocolError("the peer describes a class in no way that RPyC has")
    return [
        pair[0]
        for pair in told[:MOST_METHODS]
        if type(pair) is tuple and pair and type(pair[0]) is str and len(pair[0]) <= LONGEST_NAME
    ]


def members_of(methods: list[str], *, certain: bool) -> dict[str, str]:
    """Give what a proxy knows of the members of its object from the names of its methods.

    What has the prefix is exposed, with it and without. Of the other methods it is not known
    whether they are: they are read when they are first used.

    Parameters
    ----------
    certain
        Whether these are methods all. RPyC 5 names everything that can be called, classes too.
    """
    members = {name: "routine" for name in methods if name[:1] != "_"}
    for name in methods:
        if name.startswith(EXPOSED):
            kind = "method" if certain else "routine"
            members[name] = members[name.removeprefix(EXPOSED)] = kind
    return members


def describe_builtin(cls: type) -> Description:
    """Describe objects of a class that both sides have."""
    found = {name for ancestor in lineage(cls) for name in namespace(ancestor)}
    specials = {name for name in found if name in USABLE}
    members = {name: "routine" for name in found if callable(getattr(cls, name, None))}
    kind = "function" if cls in FUNCTIONS else "instance"
    return Description(
        "builtins",
        cls.__name__,
        kind,
        {} if kind == "function" else {n: k for n, k in members.items() if n[:1] != "_"},
        tuple(sorted({*ALWAYS, *specials})),
        cls.__name__ if cls.__name__ in CONTAINERS else None,
        "",
    )


CONTAINERS = frozenset({*MIMICKED, "tuple", "frozenset"})


COLLECTIONS = {
    f"collections.{name}": name for name in ("deque", "defaultdict", "OrderedDict", "Counter")
}

FUNCTIONS = frozenset({BuiltinFunctionType, FunctionType, MethodType, MethodWrapperType})
