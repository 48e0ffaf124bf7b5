"""Arrays of other libraries: torch, jax, cupy, and whatever else offers DLPack.

They travel as arrays of numpy, and are made again in their library where it is installed; where it
is not, the array itself is given. Memory of a device is copied to the processor.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any

from nbrpc.errors import RemoteProtocolError
from nbrpc.objects.arrays import is_array
from nbrpc.objects.kinds import ATTRIBUTE, Kind, register
from nbrpc.objects.static import MISSING, class_module, find, lineage

__all__ = ["TENSOR", "load", "offers_dlpack", "tensor_apart", "tensor_together"]

OWN_KINDS = frozenset({"nbrpc", "numpy", "pandas", "polars", "pyarrow", "scipy", "xarray"})
"""Libraries whose classes travel in other ways, or by reference."""

OTHER = ""
"""The library of a class that none here knows; its arrays become those of numpy."""

LIBRARIES = {"torch": "torch", "jax": "jax", "jaxlib": "jax", "cupy": "cupy"}
"""From the first name of the module of a class to the library that makes its arrays."""


def offers_dlpack(cls: type) -> bool:
    """Whether arrays of this class can be read by others, and are of no kind of their own."""
    library, *bases = (class_module(base).partition(".")[0] for base in lineage(cls))
    if library in OWN_KINDS:
        return False
    # What a class adds to that of a library, such as a unit, would be lost.
    if any(base != library and (base in OWN_KINDS or base in LIBRARIES) for base in bases):
        return False
    return all(find(cls, name) is not MISSING for name in ("__dlpack__", "__dlpack_device__"))


def tensor_apart(obj: Any) -> tuple[str, Any, tuple[Any, ...]] | None:
    """Give the library of a tensor, its elements as an array, and what else is to be kept.

    None where it is no tensor, or numpy has no such dtype.
    """
    cls = type(obj)
    if not offers_dlpack(cls):
        return None
    library = LIBRARIES.get(class_module(cls).partition(".")[0], OTHER)
    try:
        array, facts = READERS[library](obj)
    except Exception:  # of a library, about a tensor that it cannot give away
        return None
    return (library, array, facts) if is_array(array) else None


def _read_torch(tensor: Any) -> tuple[Any, tuple[Any, ...]]:
    torch = sys.modules["torch"]
    # A derived class could mean more than its elements.
    if type(tensor) is not torch.Tensor or tensor.layout is not torch.strided:
        return None, ()
    array = tensor.detach().cpu().resolve_conj().resolve_neg().numpy()
    return array, (bool(tensor.requires_grad),)


def _read_jax(tensor: Any) -> tuple[Any, tuple[Any, ...]]:
    import numpy

    return numpy.asarray(tensor), ()


def _read_cupy(tensor: Any) -> tuple[Any, tuple[Any, ...]]:
    return sys.modules["cupy"].asnumpy(tensor), ()


def _read_other(tensor: Any) -> tuple[Any, tuple[Any, ...]]:
    import numpy

    return numpy.from_dlpack(tensor), ()


READERS: dict[str, Callable[[Any], tuple[Any, tuple[Any, ...]]]] = {
    "torch": _read_torch,
    "jax": _read_jax,
    "cupy": _read_cupy,
    OTHER: _read_other,
}


def tensor_together(library: str, array: Any, facts: tuple[Any, ...]) -> Any:
    """Make the tensor of a library; an array of numpy where it is not installed here.

    Raises
    ------
    RemoteProtocolError
        There is no such library, or these are not its parts.
    """
    fits = all(type(fact) is bool for fact in facts) and len(facts) == (library == "torch")
    if library not in READERS or not is_array(array) or not fits:
        raise RemoteProtocolError("a tensor has parts that are none")
    if library == OTHER:
        return array
    try:
        made = MAKERS[library](array.astype(array.dtype.newbyteorder("="), copy=False), *facts)
    except Exception:  # it is not installed here, or has no such numbers in this version
        return array
    return made


def _make_torch(array: Any, requires_grad: bool) -> Any:  # noqa: FBT001 - a fact
    made = importlib.import_module("torch").from_numpy(array)
    return made.requires_grad_() if requires_grad else made


def _make_jax(array: Any) -> Any:
    made = importlib.import_module("jax.numpy").asarray(array)
    # Without its option for 64 bits, jax would shorten the numbers.
    return made if made.dtype == array.dtype else array


def _make_cupy(array: Any) -> Any:
    return importlib.import_module("cupy").asarray(array)


MAKERS: dict[str, Callable[..., Any]] = {
    "torch": _make_torch,
    "jax": _make_jax,
    "cupy": _make_cupy,
}


TENSOR = Kind(
    "dlpack.tensor",
    ATTRIBUTE,
    tensor_apart,
    tensor_together,
    ((str,), None, (tuple,)),
)
"""The kind of all of them."""


def load(_library: str) -> None:
    """Register the kinds of this module."""
    register(None, TENSOR)
