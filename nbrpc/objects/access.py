"""Which names of our objects a peer may reach: one function, through which every operation goes.

A name is reached when it is exposed (by its prefix, or marked by `exposed`), when it is a safe
special method, or when the session's `Access` opens more: public names, all names, code. What is
exposed is decided by the class; an instance adds names that carry the prefix, and a module its own
marked functions and classes. Looking never runs code of the object (see `static`); only `read`,
`write` and `delete` do, once the name is allowed. A class may replace the whole decision through
RPyC's hooks ``_rpyc_getattr``, ``_rpyc_setattr`` and ``_rpyc_delattr``.

`Policy` remembers per class what it decided, so a class whose exposed members are changed while it
is being served may be seen as it was.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import CodeType, FrameType, MethodType, ModuleType, TracebackType
from typing import Any, Final, cast

from nbrpc.errors import AccessDenied
from nbrpc.objects.exposure import (
    INTROSPECTION,
    Restricted,
    exposed,
    form_of,
    is_event,
    is_exposed,
    restricted,
    restricted_parts,
)
from nbrpc.objects.shapes import DELETE, READ, WRITE, Right, Shape
from nbrpc.objects.static import (
    MISSING,
    bind,
    class_module,
    class_name,
    find,
    is_class,
    is_kind_of,
    lineage,
    namespace,
    own_attributes,
    property_setter,
)
from nbrpc.options import Access

__all__ = [
    "Policy",
    "Restricted",
    "Right",
    "exposed",
    "form_of",
    "restricted",
]

MAX_CLASSES: Final = 2_048
"""Classes that a policy remembers; classes made at run time would otherwise never go away."""

MANY: Final = 1_024
"""Names among which one is sought that was perhaps meant."""

CALLED: Final = frozenset({"__call__", "__await__"})
"""What may always be asked of an object that was handed over."""

OF_EVERY_OBJECT: Final = frozenset({"__repr__", "__str__", "__hash__", "__eq__", "__ne__"})
"""Special methods that do not need a hook's consent: they tell the wrapper, not what is in it."""

REFUSED_RESULTS: Final = (ModuleType, FrameType, CodeType, TracebackType)
"""What attribute access never gives without ``allow_code``: each leads to everything else."""

LACKING: Final = {
    "__aenter__": "'{}' object does not support the asynchronous context manager protocol",
    "__aexit__": "'{}' object does not support the asynchronous context manager protocol",
    "__aiter__": "'async for' requires an object with __aiter__ method, got {}",
    "__anext__": "'async for' requires an iterator with __anext__ method, got {}",
    "__await__": "object {} can't be used in 'await' expression",
    "__call__": "'{}' object is not callable",
    "__contains__": "argument of type '{}' is not iterable",
    "__delitem__": "'{}' object doesn't support item deletion",
    "__enter__": "'{}' object does not support the context manager protocol",
    "__exit__": "'{}' object does not support the context manager protocol",
    "__float__": "float() argument must be a string or a real number, not '{}'",
    "__getitem__": "'{}' object is not subscriptable",
    "__hash__": "unhashable type: '{}'",
    "__index__": "'{}' object cannot be interpreted as an integer",
    "__int__": "int() argument must be a string, a bytes-like object or a real number, not '{}'",
    "__iter__": "'{}' object is not iterable",
    "__len__": "object of type '{}' has no len()",
    "__next__": "'{}' object is not an iterator",
    "__reversed__": "'{}' object is not reversible",
    "__setitem__": "'{}' object does not support item assignment",
}
"""What Python itself says when a class lacks a special method."""


class Policy:
    """Decides which names of our objects the peer of one session may reach.

    It takes no locks: several threads may use it at once.
    """

    def __init__(self, access: Access, side: str = "") -> None:
        self.access = access
        self.side = side
        """Whose objects these are, as messages say it: client or server."""
        self.everything = access.allow_all_attrs or access.allow_code
        """Whether names are no matter: the peer was given all, or may run code anyway."""
        self._prefix = access.exposed_prefix if access.allow_exposed_attrs else ""
        self._safe = access.safe_attrs if access.allow_safe_attrs else frozenset[str]()
        self._specials = self._safe | CALLED
        self._may = {
            "read": access.allow_getattr or access.allow_code,
            "set": access.allow_setattr or access.allow_code,
            "delete": access.allow_delattr or access.allow_code,
        }
        # Keyed by id, since a metaclass may define __eq__ and __hash__ and would be asked.
        self._shapes: dict[int, Shape] = {}
        self._classes: dict[int, Shape] = {}

    def resolve(self, obj: object, name: str, right: Right) -> str:
        """Give the real name of an attribute ("add" may be "exposed_add").

        No code of the object runs, and the attribute need not exist when its name is allowed.

        Raises
        ------
        AccessDenied
            The peer may not reach it.
        """
        if type(name) is not str:
            raise AccessDenied("the name of an attribute must be a str")
        shape = self._shapes.get(id(type(obj))) or self._shape_of(obj)
        if shape.is_metaclass:
            shape = self._classes.get(id(obj)) or self._class_shape(obj)
        if right is READ:
            known = shape.reads.get(name)
            if known is not None:
                return known
            known = shape.borne.get(name)
            if known is not None and known in shape.own(obj):
                return known
            known = shape.twins.get(name)
            if known is not None and name not in shape.own(obj):
                return known
        return self._decide(obj, name, right, shape)

    def read(self, obj: object, name: str) -> Any:
        """Give an attribute as the peer may have it.

        Raises
        ------
        AccessDenied
            The peer may not reach it, or it is a module, frame, code object or traceback.
        """
        shape = self._shapes.get(id(type(obj))) or self._shape_of(obj)
        if shape.getter is MISSING:
            known = shape.reads.get(name) if type(name) is str else None
            if known is None and shape.quick_dictionary is not None:
                # What `resolve` finds of an attribute of the instance, without the calls.
                borne = shape.borne.get(name) if type(name) is str else None
                own = shape.quick_dictionary(obj) if borne is not None else None
                if type(own) is dict and borne in own:
                    known = borne
            known = known or self.resolve(obj, name, READ)
            try:
                value = getattr(obj, known)
            except AttributeError as error:
                self._suggest(obj, name, error)
                raise
        else:
            value = bind(shape.getter, obj)(_checked(name))
        if issubclass(type(value), REFUSED_RESULTS) and not self.everything:
            raise AccessDenied(
                f"{_shown(name)} of {_owner(obj)} is a {class_name(type(value))}, which a peer is "
                "given only where it may run code (allow_code)",
                name=name,
            )
        return value

    def method(self, obj: object, name: str) -> tuple[Any, bool | None, bool]:
        """Give a method as `read` does, and how its results travel and whether it may be stopped.

        The second is True when results are copied, False when they are lent, and None when data is
        copied; the third is True when a cancel may strike.

        Raises
        ------
        AccessDenied
            The peer may not reach it.
        """
        shape = self._shapes.get(id(type(obj))) or self._shape_of(obj)
        known = shape.calls.get(name)
        if known is not None and not (known[3] and name in shape.own(obj)):
            return getattr(obj, known[0]), known[1], known[2]
        function = self.read(obj, name)
        cls = type(obj)
        by_value = form_of(function)
        if by_value is None:
            by_value = getattr(cls, "__nbrpc_by_value__", None)
        interruptible = getattr(cls, "__nbrpc_interruptible__", True) is not False
        real = shape.reads.get(name) or shape.twins.get(name)
        if (
            real
            and shape.getter is MISSING
            and not shape.is_metaclass
            and type(function) is MethodType
        ):
            shape.calls[name] = (real, by_value, interruptible, name not in shape.reads)
        return function, by_value, interruptible

    def write(self, obj: object, name: str, value: object) -> None:
        """Set an attribute for the peer.

        Raises
        ------
        AccessDenied
            The peer may not set it.
        """
        shape = self._shapes.get(id(type(obj))) or self._shape_of(obj)
        if shape.setter is MISSING:
            setattr(obj, self.resolve(obj, name, WRITE), value)
        else:
            bind(shape.setter, obj)(_checked(name), value)

    def delete(self, obj: object, name: str) -> None:
        """Delete an attribute for the peer.

        Raises
        ------
        AccessDenied
            The peer may not delete it.
        """
        shape = self._shapes.get(id(type(obj))) or self._shape_of(obj)
        if shape.deleter is MISSING:
            delattr(obj, self.resolve(obj, name, DELETE))
        else:
            bind(shape.deleter, obj)(_checked(name))

    def special(self, obj: object, name: str) -> Callable[..., Any]:
        """Give a special method, bound to `obj`.

        Raises
        ------
        AccessDenied
            It is none that a peer may use.
        TypeError
            The class of `obj` does not have it.
        """
        shape = self._shapes.get(id(type(obj))) or self._shape_of(obj)
        method = find(type(obj), _checked(name))
        if shape.getter is not MISSING:
            try:
                return bind(shape.getter, obj)(name)  # type: ignore[no-any-return]
            except AttributeError:
                own = name == "__call__" or name in OF_EVERY_OBJECT
                if not own or method is MISSING:
                    raise
        elif not self.allows_special(name):
            raise AccessDenied(f"the peer may not use {_shown(name)} of {_owner(obj)}", name=name)
        if method is MISSING or method is None:
            owner = class_name(type(obj))
            if name in LACKING:
                raise TypeError(LACKING[name].format(owner))
            raise TypeError(f"'{owner}' object does not support {_shown(name)[1:-1]}")
        return bind(method, obj)  # type: ignore[no-any-return]

    def is_hooked(self, obj: object) -> bool:
        """Whether the class of `obj` decides itself what is read, through RPyC's hook."""
        return self._shape_of(obj).getter is not MISSING

    def allows_special(self, name: str) -> bool:
        """Whether a peer may use the special method `name` of an object that has it."""
        if name in self._specials:
            return True
        return self.everything and name.startswith("__") and name.endswith("__")

    def visible(self, obj: object) -> list[str]:
        """Give the names of `obj` that a peer sees, as it spells them, sorted.

        No code of the object runs.
        """
        if type(obj) is Restricted:
            return sorted(restricted_parts(obj)[1])
        return sorted({**self.members(obj), **self.instance_members(obj)})

    def members(self, obj: object) -> dict[str, object]:
        """Give the visible members of the class of `obj`, or of the class or module `obj`.

        Maps the peer's spelling to what stands in the class, not bound to anything.
        """
        shape = self._shape_of(obj)
        if shape.is_metaclass:
            shape = self._class_shape(obj)
        if shape.is_module:
            return self._seen(shape, list(own_attributes(obj).items()))
        entries: dict[str, object] = {}
        for base in reversed(lineage(shape.cls)):
            entries.update(namespace(base))
        return self._seen(shape, list(entries.items()))

    def instance_members(self, obj: object) -> dict[str, object]:
        """Give the visible attributes in the instance dictionary of `obj`, unless it is a class."""
        shape = self._shape_of(obj)
        if shape.is_metaclass:
            return {}
        # The dictionary may grow in another thread meanwhile; list() takes it in one step.
        return self._seen(shape, list(own_attributes(obj).items()), of_instance=True)

    def _seen(
        self, shape: Shape, entries: list[tuple[str, object]], *, of_instance: bool = False
    ) -> dict[str, object]:
        prefix = self._prefix
        prefixed: dict[str, object] = {}
        plain: dict[str, object] = {}
        for name, value in entries:
            if type(name) is not str:
                continue
            if is_kind_of(value, REFUSED_RESULTS) and not self.everything:
                continue
            if prefix and name.startswith(prefix):
                if len(name) > len(prefix):
                    prefixed[name[len(prefix) :]] = value
            elif name.startswith("__") and name.endswith("__") and not self.everything:
                continue  # special methods are asked for by what they do, not by name
            elif self._is_plain(shape, name, READ) or (
                (shape.is_module or not of_instance) and self._is_marked(name, value)
            ):
                plain[name] = value
        return {**prefixed, **plain}

    def _shape_of(self, obj: object) -> Shape:
        cls = type(obj)
        shape = self._shapes.get(id(cls))
        if shape is None:
            if len(self._shapes) >= MAX_CLASSES:
                self._shapes.clear()
            shape = self._shapes[id(cls)] = Shape(cls)
        return shape

    def _class_shape(self, cls: Any) -> Shape:
        shape = self._classes.get(id(cls))
        if shape is None:
            if len(self._classes) >= MAX_CLASSES:
                self._classes.clear()
            shape = self._classes[id(cls)] = Shape(cls, type(cls))
        return shape

    def _decide(self, obj: object, name: str, right: Right, shape: Shape) -> str:
        """Decide about a name that the class has not decided before."""
        in_class = find(shape.cls, name)
        if in_class is MISSING and self._prefix and name.startswith(self._prefix):
            # A marked member answers to the prefixed spelling too, as RPyC's decorators have it.
            bare = name[len(self._prefix) :]
            if self._is_marked(bare, find(shape.cls, bare)):
                return self._decide(obj, bare, right, shape)
        prefixed = self._prefix + name if self._prefix else ""
        twin = find(shape.cls, prefixed) if prefixed else MISSING
        if not self._may[right.value]:
            # A property of a class that is itself the object would be replaced, not set.
            if right is WRITE and not is_class(obj):
                if self._is_settable(name, in_class):
                    return name
                if _has_setter(twin):
                    return prefixed
            raise self._denied(obj, name, right)
        plain = self._is_plain(shape, name, right)
        if in_class is not MISSING and (plain or self._is_marked(name, in_class)):
            if right is READ:
                shape.reads[name] = name
            return name
        own = shape.own(obj)
        if name in own and (plain or (shape.is_module and self._is_marked(name, own[name]))):
            return shape.remembered(name, name, right) if plain else name
        if twin is not MISSING:
            if right is READ:
                (shape.twins if plain else shape.reads)[name] = prefixed
            return prefixed
        if prefixed in own:
            return prefixed if plain else shape.remembered(name, prefixed, right)
        if plain:
            return name  # it is not there, and the object says so best
        if shape.dynamic and prefixed and in_class is MISSING and name not in own:
            return prefixed  # the class makes up names as they are asked for
        raise self._denied(obj, name, right)

    def _is_plain(self, shape: Shape, name: str, right: Right) -> bool:
        """Whether a name may be used as it is, whatever it stands for."""
        if self.everything or (self._prefix and name.startswith(self._prefix)):
            return True
        if right is READ and (name in self._safe or name in shape.methods):
            return True
        if name in shape.fields:
            return right is not DELETE
        return (
            self.access.allow_public_attrs
            and shape.public
            and not name.startswith("_")
            and not name.startswith(INTROSPECTION)
            and name not in shape.hidden
        )

    def _is_marked(self, name: str, value: object) -> bool:
        """Whether what a class or module has under a name was exposed by its author."""
        if not self.access.allow_exposed_attrs:
            return False
        return is_exposed(value) or (is_event(value) and not name.startswith("_"))

    def _is_settable(self, name: str, value: object) -> bool:
        """Whether a name is that of an exposed property with a setter."""
        if not _has_setter(value):
            return False
        prefixed = bool(self._prefix) and name.startswith(self._prefix)
        return prefixed or self._is_marked(name, value)

    def _denied(self, obj: object, name: str, right: Right) -> AccessDenied:
        whose = f"the {self.side}'s " if self.side else ""
        what = f"{_shown(name)} of {whose}{_owner(obj)}"
        if right is READ:
            if not self._may["read"]:
                message = f"{what} cannot be read: this side allows no attribute access"
            elif nearest := self._nearest(obj, name):
                message = f"{what} is not exposed; did you mean {nearest!r}?"
            elif self.access.allow_exposed_attrs and _is_foreign(obj):
                message = (
                    f"{what} is not exposed, and that class cannot be marked: nbrpc.obtain copies "
                    "what is data; its owner can give a copy (nbrpc.by_value) or "
                    f"nbrpc.restricted(obj, [{_shown(name)}]), or allow_public_attrs"
                )
            elif self.access.allow_exposed_attrs:
                prefix = self.access.exposed_prefix
                other = f" or name it {prefix}{name[:80]}" if prefix and name.isidentifier() else ""
                message = f"{what} is not exposed: mark it with @nbrpc.exposed{other}"
            else:
                message = f"{what} is not open to the peer"
        elif nearest := self._nearest(obj, name):
            message = f"{what} is not exposed; did you mean {nearest!r}?"
        elif right is WRITE:
            message = f"{what} cannot be set: only an exposed property with a setter can be"
        else:
            message = f"{what} cannot be deleted by a peer"
        return AccessDenied(message, name=name)

    def _suggest(self, obj: object, name: str, error: AttributeError) -> None:
        """Let what Python says of an attribute that is not there name the one that was meant."""
        if error.name == name and error.obj is obj and (nearest := self._nearest(obj, name)):
            error.args = (f"{error}; did you mean {nearest!r}?",)

    def _nearest(self, obj: object, name: str) -> str | None:
        """Give the visible name that is most like one that is not there; the search is bounded."""
        if len(name) > 64 or name.startswith("_") or len(own_attributes(obj)) > MANY:
            return None
        names = self.visible(obj)[:MANY]
        if name in names:
            return None
        from difflib import get_close_matches

        return next(iter(get_close_matches(name, names, 1, 0.75)), None)


def _is_foreign(obj: object) -> bool:
    """Whether the class of an object is one of Python's or of an installed library."""
    cls = cast("type", obj) if is_class(obj) else type(obj)
    library = class_module(cls).partition(".")[0]
    if library in sys.stdlib_module_names:
        return library != "__main__"
    file = own_attributes(sys.modules.get(library)).get("__file__")
    return type(file) is str and ("site-packages" in file or "dist-packages" in file)


def _has_setter(value: object) -> bool:
    return is_kind_of(value, property) and property_setter(value) is not None


def _checked(name: object) -> str:
    if type(name) is not str:
        raise AccessDenied("the name of an attribute must be a str")
    return name


def _shown(name: str) -> str:
    return repr(name if len(name) <= 80 else name[:77] + "...")


def _owner(obj: Any) -> str:
    return class_name(obj if is_class(obj) else type(obj))
