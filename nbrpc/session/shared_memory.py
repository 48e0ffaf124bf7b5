"""Large buffers between two processes of one machine: a segment of memory instead of the socket.

Theory of operation
-------------------
The sender writes the buffers of a message into an anonymous file in memory (``memfd``), seals it,
and sends the number of its descriptor. The receiver opens that by way of ``/proc``, maps it
copy-on-write and says so (`Credit` of kind ``m``); then the sender lets go of it. So the data is
copied once, and not at all where the receiver only reads. There is no name that could be left
behind: the kernel frees the memory when both have let go of it, also if they are killed.

Both sides tell at the end of the handshake where they live: a hash of what two processes must have
in common to reach each other's descriptors, and a key. A segment begins with the receiver's key. So
a peer on another machine, even one that claims to be here, can have nothing opened but what a
process of this user made for this very connection; and the seals keep the sender from changing or
cutting off what is mapped here.

Only Linux has what this needs. Elsewhere, and for what is small, buffers go through the socket.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
import sys
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nbrpc.errors import RemoteProtocolError
from nbrpc.protocol.frames import frame_in_memory
from nbrpc.protocol.messages import Kind

__all__ = ["SharedMemory", "agree", "whereabouts"]

LEAST = 1024 * 1024
"""Bytes of buffers from which a segment is quicker than the socket."""

MOST_LENT = 8
"""Segments of one connection that the receiver has not yet opened; more goes through the socket,
which waits for a peer that does not read."""

KEY_SIZE = 16
ALIGNED = 64
"""Every buffer begins at a multiple of this: what processors load at once."""

HERE = sys.platform == "linux" and hasattr(os, "memfd_create")


def whereabouts() -> dict[str, str]:
    """Give what a peer is told at the end of the handshake; nothing where this cannot be done."""
    return {"memory": f"{_place()}/{secrets.token_hex(KEY_SIZE)}"} if HERE and _place() else {}


def _place() -> str:
    """Give a text that is the same for two processes that can open each other's descriptors."""
    global _known_place  # noqa: PLW0603 - it is asked for by every connection, and never changes
    if _known_place is None:
        try:
            with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:  # noqa: PTH123 - pathlib would add 4 ms to the import
                boot = file.read()
            spaces = [os.stat(f"/proc/self/ns/{name}").st_ino for name in ("pid", "user")]  # noqa: PTH116 - as above
        except OSError:  # no /proc here
            _known_place = ""
        else:
            text = f"nbrpc {boot} {spaces} {os.getuid()}"
            _known_place = hashlib.sha256(text.encode()).hexdigest()[:32]
    return _known_place


_known_place: str | None = None


class SharedMemory:
    """The segments of one connection.

    Parameters
    ----------
    peer_pid
        The process that opens ours, and whose we open.
    own_key, peer_key
        What the segments begin with that come here, and that go there.
    tell
        Sends the peer word that a segment was opened.
    """

    @classmethod
    def between(
        cls, own: Mapping[str, str], peer: Mapping[str, str], tell: Callable[[int], None]
    ) -> SharedMemory | None:
        """Give the segments of a connection, from what both sides say of themselves.

        None where the two do not live on one machine as one user, or one of them cannot do it.
        """
        here, _, own_key = own.get("memory", "").partition("/")
        there, _, peer_key = peer.get("memory", "").partition("/")
        pid = peer.get("pid", "")
        if not here or here != there or own.get("pid") != str(os.getpid()):
            return None
        if not pid.isdecimal() or len(pid) > 9 or len(peer_key) != 2 * KEY_SIZE:
            return None
        try:
            return cls(int(pid), bytes.fromhex(own_key), bytes.fromhex(peer_key), tell)
        except ValueError:  # the peer's key is none
            return None

    def __init__(
        self, peer_pid: int, own_key: bytes, peer_key: bytes, tell: Callable[[int], None]
    ) -> None:
        self._peer_pid = peer_pid
        self._own_key = own_key
        self._peer_key = peer_key
        self._tell = tell
        self._lent: set[int] = set()
        """Descriptors of segments that the peer has not opened yet."""
        self._closed = False

    # ---- ours

    def place(self, kind: int, body: bytes, buffers: Sequence[memoryview]) -> bytes | None:
        """Put the buffers of a message into a segment; give the frame that tells of it.

        None where they had better go through the socket.
        """
        total = sum(buffer.nbytes for buffer in buffers)
        if total < LEAST or len(self._lent) >= MOST_LENT or self._closed:
            return None
        try:
            segment = os.memfd_create("nbrpc", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        except OSError:  # no descriptor is left
            return None
        try:
            self._fill(segment, buffers)
        except OSError:  # no memory is left for it
            os.close(segment)
            return None
        self._lent.add(segment)
        return frame_in_memory(kind, body, buffers, segment)

    def _fill(self, segment: int, buffers: Sequence[memoryview]) -> None:
        import fcntl  # there is none on Windows, which has no segments either

        _write(segment, memoryview(self._peer_key), 0)
        for buffer, offset in zip(buffers, _offsets([b.nbytes for b in buffers]), strict=False):
            _write(segment, buffer, offset)
        seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW
        fcntl.fcntl(segment, fcntl.F_ADD_SEALS, seals)

    def opened(self, number: int) -> None:
        """The peer has opened a segment.

        Raises
        ------
        RemoteProtocolError
            It was lent none of that number.
        """
        if number not in self._lent:
            raise RemoteProtocolError(f"the peer gives back a segment {number} that it never had")
        self._lent.discard(number)
        os.close(number)

    def close(self) -> None:
        """Let go of what the peer has not opened: the link is lost."""
        self._closed = True
        while self._lent:
            os.close(self._lent.pop())

    # ---- the peer's

    def take(self, number: int, sizes: Sequence[int]) -> list[Shared]:
        """Map a segment of the peer; give its buffers.

        Raises
        ------
        RemoteProtocolError
            It cannot be opened, or is not what was announced.
        """
        import fcntl  # as above

        ends = _offsets(sizes)
        try:
            segment = os.open(
                f"/proc/{self._peer_pid}/fd/{number}",
                os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY,
            )
        except OSError as error:
            raise RemoteProtocolError(
                f"a segment of shared memory cannot be opened: {error.strerror}"
            ) from error
        try:
            status = os.fstat(segment)
            seals = fcntl.fcntl(segment, fcntl.F_GET_SEALS)
            wanted = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK
            if not stat.S_ISREG(status.st_mode) or seals & wanted != wanted:
                raise RemoteProtocolError("a segment of shared memory is not sealed")
            if status.st_size < KEY_SIZE or status.st_size < sizes[-1] + ends[len(sizes) - 1]:
                raise RemoteProtocolError("a segment of shared memory is too short")
            if not secrets.compare_digest(os.pread(segment, KEY_SIZE, 0), self._own_key):
                raise RemoteProtocolError("a segment of shared memory was not made for this side")
            view = _map(segment, status.st_size)
        except OSError as error:
            raise RemoteProtocolError(f"a segment of shared memory is none: {error}") from error
        finally:
            os.close(segment)
        self._tell(number)
        return [
            Shared(view[offset : offset + size]) for offset, size in zip(ends, sizes, strict=False)
        ]


def agree(session: Any, about: dict[str, str]) -> None:
    """Let a connection use segments from now on, if both sides can.

    Parameters
    ----------
    session
        A session that does not read yet.
    about
        What the peer says of itself; what is for this alone is taken out.
    """
    told = about.pop("memory", "")
    own = getattr(session.protocol, "about", None)
    if not told or own is None:
        return

    def tell(number: int) -> None:
        session.send_quietly(Kind.CREDIT, ("m", number, 1))

    session.memory = SharedMemory.between(own, {**about, "memory": told}, tell)
    if session.memory is not None:
        session.reader.take_shared = session.memory.take


class Shared:
    """A received buffer that lies in a segment; used like the BytesIO of others."""

    __slots__ = ("_view",)

    def __init__(self, view: memoryview) -> None:
        self._view = view

    def getbuffer(self) -> memoryview:
        """Give the bytes, which may be written: on this side only."""
        return self._view

    def getvalue(self) -> bytes:
        """Give a copy."""
        return bytes(self._view)


def _offsets(sizes: Sequence[int]) -> list[int]:
    """Give where the buffers of these sizes begin, and where the last one ends."""
    found = [ALIGNED]
    for size in sizes:
        found.append(-(-(found[-1] + size) // ALIGNED) * ALIGNED)
    return found


def _write(segment: int, data: memoryview, offset: int) -> None:
    while data.nbytes:
        written = os.pwrite(segment, data, offset)
        data, offset = data[written:], offset + written


def _map(segment: int, size: int) -> memoryview:
    """Map a segment copy-on-write.

    Python's own mmap would keep a descriptor for as long as the array lives.
    """
    import ctypes  # 10 ms of import that most processes never need

    library = ctypes.CDLL(None, use_errno=True)
    library.mmap.restype = ctypes.c_void_p
    library.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    library.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    address = library.mmap(None, size, PROTECTION, MAP_PRIVATE, segment, 0)
    if address in (None, ctypes.c_void_p(-1).value):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    array: Any = (ctypes.c_ubyte * size).from_address(address)
    weakref.finalize(array, library.munmap, address, size).atexit = False
    return memoryview(array).cast("B")


PROTECTION = 1 | 2
"""PROT_READ | PROT_WRITE."""

MAP_PRIVATE = 2
