"""Values are taken apart and made again, as the wire does it, without a connection."""

from __future__ import annotations

import pytest

from nbrpc.errors import RemoteProtocolError
from nbrpc.objects import arrays, values
from nbrpc.objects.kinds import kind_of, rebuild

PLAIN = (type(None), bool, int, float, str, bytes)


def carried(obj):
    """Take a value apart and make it again, as the wire does; None where it does not travel."""
    kind = kind_of(type(obj))
    parts = kind.apart(obj)
    return None if parts is None else rebuild(kind.name, [arrived(part) for part in parts])


def arrived(part):
    """Give a part as it is on the other side: of classes that boxing copies, and no others."""
    cls = type(part)
    if cls in PLAIN:
        return part
    if cls in (list, tuple, set):
        return cls(arrived(item) for item in part)
    if cls is dict:
        return {arrived(key): arrived(item) for key, item in part.items()}
    if arrays.is_array(part):
        buffers = []
        box = arrays.box_array(part, lambda data: buffers.append(bytearray(data)) or 0)
        return arrays.unbox_array(box, lambda index: memoryview(buffers[index]))
    if (box := values.box_scalar(part)) is not None:
        return values.read_scalar(box)
    if (box := arrays.box_scalar(part)) is not None:
        return arrays.unbox_array(box, None)
    made = carried(part)
    assert made is not None, f"a part of class {cls} does not travel"
    return made


def refused(name, *parts):
    """Check that nothing is made of these parts."""
    with pytest.raises(RemoteProtocolError):
        rebuild(name, list(parts))


def check_array(array, made):
    """Check that an array is the same, and can be written."""
    assert type(made) is type(array)
    assert made.dtype == array.dtype
    assert made.dtype.type is array.dtype.type
    assert made.shape == array.shape
    assert made.flags.writeable
    assert made.tobytes() == array.tobytes()
