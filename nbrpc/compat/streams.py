"""RPyC's streams and channels: sockets, pipes, and frames over either."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import sys
import zlib
from typing import Any, ClassVar, Final

from nbrpc.compat.library import Timeout, socket_backoff_connect

__all__ = [
    "STREAM_CHUNK",
    "Channel",
    "NamedPipeStream",
    "PipeStream",
    "SocketStream",
    "Stream",
    "TunneledSocketStream",
    "Win32PipeStream",
]

STREAM_CHUNK: Final = 64000

LARGEST: Final = 64 * 1024 * 1024
"""Bytes of one frame of a `Channel`, packed or not, that are taken from a peer."""


class Stream:
    """What a stream of RPyC offers; derive from it to bring one of your own."""

    __slots__ = ()

    def close(self) -> None:
        """End it."""
        raise NotImplementedError

    @property
    def closed(self) -> bool:
        """Whether it has ended on this side."""
        raise NotImplementedError

    def fileno(self) -> int:
        """Give a descriptor that tells when something can be read."""
        raise NotImplementedError

    def poll(self, timeout: Any) -> bool:
        """Whether something can be read within so many seconds, or a `Timeout`; None waits.

        Raises
        ------
        EOFError
            It has ended.
        """
        try:
            descriptor = self.fileno()
        except OSError as error:
            raise EOFError("the stream is closed") from error
        left = Timeout(timeout).timeleft()
        if not hasattr(select, "poll"):
            return bool(select.select([descriptor], [], [], left)[0])
        poll = select.poll()
        poll.register(descriptor, select.POLLIN | select.POLLPRI)
        return bool(poll.poll(None if left is None else 1000 * left))

    def read(self, count: int) -> bytes:
        """Give exactly so many bytes, waiting for them.

        Raises
        ------
        EOFError
            It ended before they came, and is closed.
        """
        raise NotImplementedError

    def write(self, data: bytes) -> None:
        """Write all of it.

        Raises
        ------
        EOFError
            It has ended, and is closed.
        """
        raise NotImplementedError


class SocketStream(Stream):
    """A stream over a connected socket.

    Attributes
    ----------
    role : str
        Which side of a connection this is to be: ``client`` of a socket that was connected here,
        empty where that is not known.
    """

    __slots__ = ("role", "sock")

    MAX_IO_CHUNK: ClassVar[int] = STREAM_CHUNK

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.role = ""

    @classmethod
    def _connect(
        cls,
        host: str,
        port: int,
        family: int = socket.AF_INET,
        socktype: int = socket.SOCK_STREAM,
        proto: int = 0,
        timeout: float | None = 3,
        nodelay: bool = False,  # noqa: ARG003, FBT001, FBT002 - RPyC's signature
        keepalive: Any = False,  # noqa: FBT002 - RPyC's signature
        attempts: int = 6,
    ) -> socket.socket:
        # Small messages always go at once; `nodelay` is accepted and not needed.
        found = socket.getaddrinfo(host, port, family, socktype, proto)
        family, socktype, proto, _, address = found[0]
        sock: socket.socket = socket_backoff_connect(
            family, socktype, proto, address, timeout, attempts
        )
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if keepalive:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if keepalive is not True and hasattr(socket, "TCP_KEEPIDLE"):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, int(keepalive))
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, int(keepalive))
        return sock

    @classmethod
    def connect(cls, host: str, port: int, **kwargs: Any) -> SocketStream:
        """Connect to a TCP server; ``ipv6=True`` asks for that family."""
        if kwargs.pop("ipv6", False):
            kwargs["family"] = socket.AF_INET6
        stream = cls(cls._connect(host, port, **kwargs))
        stream.role = "client"
        return stream

    @classmethod
    def unix_connect(cls, path: str, timeout: float | None = 3) -> SocketStream:
        """Connect to a Unix socket."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(timeout)
            sock.connect(path)
        except BaseException:  # and it is raised again
            sock.close()
            raise
        sock.settimeout(None)
        stream = cls(sock)
        stream.role = "client"
        return stream

    @classmethod
    def ssl_connect(
        cls,
        host: str,  # noqa: ARG003 - RPyC's signature
        port: int,  # noqa: ARG003 - RPyC's signature
        ssl_kwargs: Any,  # noqa: ARG003 - RPyC's signature
        **kwargs: Any,  # noqa: ARG003 - RPyC's signature
    ) -> SocketStream:
        """Refuse: TLS belongs to connections."""
        from nbrpc.compat.left_out import refuse

        raise refuse("rpyc.SocketStream.ssl_connect")

    @property
    def closed(self) -> bool:
        """Whether it was closed here."""
        return self.sock.fileno() == -1

    def close(self) -> None:
        """Shut it down and close it."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()

    def fileno(self) -> int:
        """Give the socket's descriptor; an EOFError once it is closed."""
        descriptor = self.sock.fileno()
        if descriptor == -1:
            raise EOFError("the stream is closed")
        return descriptor

    def read(self, count: int) -> bytes:
        """Give exactly so many bytes; see `Stream.read`."""
        data = bytearray()
        while len(data) < count:
            try:
                piece = self.sock.recv(min(self.MAX_IO_CHUNK, count - len(data)))
            except TimeoutError:
                continue
            except OSError as error:
                self.close()
                raise EOFError(str(error)) from error
            if not piece:
                self.close()
                raise EOFError("the peer closed the connection")
            data += piece
        return bytes(data)

    def write(self, data: bytes) -> None:
        """Write all of it; see `Stream.write`."""
        try:
            self.sock.sendall(data)
        except OSError as error:
            self.close()
            raise EOFError(str(error)) from error


class TunneledSocketStream(SocketStream):
    """A stream over a socket that goes through an ssh tunnel, which is closed with it."""

    __slots__ = ("tun",)

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self.tun: Any = None

    def close(self) -> None:
        """Close the socket, and then the tunnel."""
        super().close()
        tunnel, self.tun = self.tun, None
        if tunnel is not None:
            tunnel.close()


class PipeStream(Stream):
    """A stream over two pipes: file objects, one to read from and one to write to.

    Attributes
    ----------
    role : str
        Which side of a connection this is to be: those of `create_pair` are one of each, and empty
        where that is not known.
    """

    __slots__ = ("incoming", "outgoing", "role")

    MAX_IO_CHUNK: ClassVar[int] = STREAM_CHUNK

    def __init__(self, incoming: Any, outgoing: Any) -> None:
        outgoing.flush()
        self.incoming = incoming
        self.outgoing = outgoing
        self.role = ""

    @classmethod
    def from_std(cls) -> PipeStream:
        """Take the standard input and output of this process; prints go nowhere from then on."""
        incoming = os.fdopen(os.dup(0), "rb", 0)
        sys.stdout.flush()
        outgoing = os.fdopen(os.dup(1), "wb", 0)
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(null, 1)
        os.close(null)
        stream = cls(incoming, outgoing)
        stream.role = "server"  # whoever started this process opens the connection
        return stream

    @classmethod
    def create_pair(cls) -> tuple[PipeStream, PipeStream]:
        """Make two streams that are joined by two pipes."""
        first_in, second_out = os.pipe()
        second_in, first_out = os.pipe()

        def stream(incoming: int, outgoing: int, role: str) -> PipeStream:
            made = cls(os.fdopen(incoming, "rb", 0), os.fdopen(outgoing, "wb", 0))
            made.role = role
            return made

        return stream(first_in, first_out, "client"), stream(second_in, second_out, "server")

    @property
    def closed(self) -> bool:
        """Whether it was closed here."""
        return bool(self.incoming.closed)

    def close(self) -> None:
        """Close both pipes."""
        for file in (self.incoming, self.outgoing):
            with contextlib.suppress(OSError):
                file.close()

    def fileno(self) -> int:
        """Give the descriptor from which it reads; an EOFError once it is closed."""
        if self.incoming.closed:
            raise EOFError("the stream is closed")
        return int(self.incoming.fileno())

    def read(self, count: int) -> bytes:
        """Give exactly so many bytes; see `Stream.read`."""
        data = bytearray()
        descriptor = self.fileno()
        while len(data) < count:
            try:
                piece = os.read(descriptor, min(self.MAX_IO_CHUNK, count - len(data)))
            except OSError as error:
                self.close()
                raise EOFError(str(error)) from error
            if not piece:
                self.close()
                raise EOFError("the peer closed the pipe")
            data += piece
        return bytes(data)

    def write(self, data: bytes) -> None:
        """Write all of it; see `Stream.write`."""
        if self.outgoing.closed:
            raise EOFError("the stream is closed")
        descriptor = self.outgoing.fileno()
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(descriptor, view[: self.MAX_IO_CHUNK]) :]
        except OSError as error:
            self.close()
            raise EOFError(str(error)) from error


class Win32PipeStream(Stream):
    """Not available: see ``LEFT_OUT``."""

    def __init__(self, incoming: Any, outgoing: Any) -> None:
        from nbrpc.compat.left_out import refuse

        raise refuse("rpyc.core.stream.Win32PipeStream")


class NamedPipeStream(Win32PipeStream):
    """Not available: see ``LEFT_OUT``."""

    def __init__(self, handle: Any, is_server_side: Any) -> None:
        super().__init__(handle, is_server_side)


class Channel:
    """Frames of RPyC over a stream: each has a length, a flag and a payload, packed if that pays.

    Attributes
    ----------
    compress : bool
        Whether payloads above `COMPRESSION_THRESHOLD` bytes are packed.
    """

    __slots__ = ("compress", "stream")

    COMPRESSION_THRESHOLD: ClassVar[int] = 3000
    COMPRESSION_LEVEL: ClassVar[int] = 1
    FRAME_HEADER: ClassVar[struct.Struct] = struct.Struct("!LB")
    FLUSHER: ClassVar[bytes] = b"\n"

    def __init__(self, stream: Any, compress: bool = True) -> None:  # noqa: FBT001, FBT002 - RPyC's
        self.stream = stream
        self.compress = compress

    def close(self) -> None:
        """Close the stream."""
        self.stream.close()

    @property
    def closed(self) -> bool:
        """Whether the stream is closed."""
        return bool(self.stream.closed)

    def fileno(self) -> int:
        """Give the descriptor of the stream."""
        return int(self.stream.fileno())

    def poll(self, timeout: Any) -> bool:
        """Whether something can be received within so many seconds."""
        return bool(self.stream.poll(timeout))

    def recv(self) -> bytes:
        """Receive one payload.

        Raises
        ------
        EOFError
            The stream has ended, or what came is no frame that can be taken; it is closed then.
        """
        length, packed = self.FRAME_HEADER.unpack(self.stream.read(self.FRAME_HEADER.size))
        if length > LARGEST:
            self._broken(f"a frame of {length:,} bytes is larger than {LARGEST:,}")
        payload: bytes = self.stream.read(length)
        self.stream.read(len(self.FLUSHER))
        return self._unpacked(payload) if packed else payload

    def _unpacked(self, payload: bytes) -> bytes:
        unpacker = zlib.decompressobj()
        try:
            data = unpacker.decompress(payload, LARGEST + 1)
        except zlib.error:
            self._broken("a packed frame cannot be unpacked")
        if len(data) > LARGEST or not unpacker.eof:
            self._broken(f"a packed frame has more than {LARGEST:,} bytes, or less than it says")
        return data

    def _broken(self, what: str) -> Any:
        self.close()
        raise EOFError(f"{what}: the stream is closed")

    def send(self, data: bytes) -> None:
        """Send one payload."""
        packed = self.compress and len(data) > self.COMPRESSION_THRESHOLD
        if packed:
            data = zlib.compress(data, self.COMPRESSION_LEVEL)
        header = self.FRAME_HEADER.pack(len(data), int(packed))
        self.stream.write(header + data + self.FLUSHER)
