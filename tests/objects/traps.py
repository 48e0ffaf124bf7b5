"""Classes of which every hook that Python offers raises, to show that none is run."""

from __future__ import annotations


class Ran(BaseException):
    """Code of an object was run."""


def trap(*args, **kwargs):
    """Fail: code of the object was run."""
    raise Ran


class TrapMeta(type):
    """A metaclass that answers everything itself."""

    __getattribute__ = trap
    __getattr__ = trap
    __eq__ = trap
    __hash__ = trap
    __instancecheck__ = trap
    __subclasscheck__ = trap
    __dir__ = trap
    __repr__ = trap
    __bool__ = trap


def trap_class():
    """Give a class whose objects answer everything themselves, as it does itself.

    It is made where it is used: pytest looks at what a module defines.
    """

    class Descriptor:
        __get__ = trap
        __set__ = trap
        __getattr__ = trap

    class Trap(metaclass=TrapMeta):
        """Bite whoever looks."""

        field = 1
        computed = property(trap)
        descriptor = Descriptor()
        exposed_computed = property(trap)
        exposed_descriptor = Descriptor()
        __getattribute__ = trap
        __getattr__ = trap
        __dir__ = trap
        __repr__ = trap
        __str__ = trap
        __eq__ = trap
        __hash__ = trap
        __bool__ = trap
        __len__ = trap
        __iter__ = trap
        __call__ = trap
        __class__ = property(trap)
        __signature__ = property(trap)
        __wrapped__ = property(trap)

        def exposed_method(self, x: int = 3):
            """Do nothing."""

    return Trap
