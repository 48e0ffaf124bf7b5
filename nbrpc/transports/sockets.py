"""TCP and Unix sockets: the transport itself, connecting, listening and accepting.

Sockets stay blocking. Reads and writes that must not wait say so by ``MSG_DONTWAIT``, and the one
read that waits is bounded by ``SO_RCVTIMEO``. So each of them is exactly one system call, which a
Python timeout (poll, then recv) is not. Where the platform has no ``MSG_DONTWAIT`` (Windows) the
socket is non-blocking and the transport says that it is not waitable.

Paths are handled by ``os``: pathlib would add 4 ms to ``import nbrpc``.

Errors of the operating system end here: they become `ConnectFailed` and `ConnectionLost`. Failures
to listen stay `OSError`, with their errno and a sentence to show as ``strerror``.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import stat
import struct
import time
from collections.abc import Sequence

from nbrpc.errors import ConnectFailed, ConnectionLost
from nbrpc.transports.address import join_host_port
from nbrpc.transports.base import WAIT_TICK, Transport

__all__ = [
    "SocketTransport",
    "accept",
    "close_listener",
    "connect_tcp",
    "connect_unix",
    "is_loopback",
    "listen_tcp",
    "listen_unix",
    "peer_host",
    "peer_user",
    "raw_socket",
    "socket_below",
]

DONT_WAIT = getattr(socket, "MSG_DONTWAIT", 0)
# A program that embeds Python may have restored SIGPIPE's deadly default.
NO_SIGNAL = getattr(socket, "MSG_NOSIGNAL", 0)
SEND_FLAGS = DONT_WAIT | NO_SIGNAL
HAS_SENDMSG = hasattr(socket.socket, "sendmsg")
UNIX_FAMILY = getattr(socket, "AF_UNIX", None)

LOCAL_BUFFER = 512 * 1024
"""Bytes of either buffer of a connection within this machine (Linux doubles them); by itself Linux
grows them to 4 and 6 MB."""

MOST_PIECES = 1024
"""Pieces of one sendmsg: IOV_MAX of Linux, macOS and the BSDs (POSIX guarantees 16 only)."""

CLOSED_HERE = (errno.EBADF, errno.ENOTSOCK)


def _interval(seconds: float) -> bytes:
    """Give a C ``struct timeval``."""
    whole = int(seconds)
    return struct.pack("@ll", whole, int((seconds - whole) * 1_000_000))


class SocketTransport(Transport):
    """A connected stream socket; the transport owns it from here on."""

    __slots__ = ("_recv", "_send", "_socket", "name", "waitable")

    def __init__(self, sock: socket.socket, name: str) -> None:
        self.name = name
        self.waitable = bool(DONT_WAIT)
        self._socket = sock
        # Bound once: an attribute of the socket costs a lookup and a bound method per message.
        self._recv = sock.recv
        self._send = sock.send
        try:
            if self.waitable:
                sock.settimeout(None)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _interval(WAIT_TICK))
            else:
                sock.setblocking(False)
            if sock.family != UNIX_FAMILY:
                # Without it small messages wait up to 40 ms for the peer's delayed acknowledgement.
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if _is_loopback_address(str(sock.getpeername()[0])):
                    # What waits in the kernel's buffers delays every Cancel and ping behind it, and
                    # on one machine a short queue is as quick as a long one.
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LOCAL_BUFFER)
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, LOCAL_BUFFER)
        except OSError as exc:
            sock.close()
            raise self._lost(exc) from exc

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    @property
    def plain_socket(self) -> socket.socket | None:
        """The socket, where one call of it is one system call and needs nothing around it."""
        return self._socket if self.waitable else None

    def fileno(self) -> int:
        """Give the socket's descriptor."""
        return self._socket.fileno()

    def receive(self, size: int) -> bytes | None:
        """Take what is there (recv)."""
        try:
            return self._recv(size, DONT_WAIT)
        except BlockingIOError:
            return None
        except OSError as exc:
            raise self._lost(exc) from exc

    def wait_receive(self, size: int) -> bytes | None:
        """Take what comes within a tick (recv under SO_RCVTIMEO)."""
        try:
            if not self.waitable:
                select.select((self._socket,), (), (), WAIT_TICK)
            return self._recv(size)
        except BlockingIOError:
            return None
        except (OSError, ValueError) as exc:  # select says ValueError of a closed socket
            raise self._lost(exc) from exc

    def send(self, pieces: Sequence[bytes | memoryview]) -> int:
        """Give as much as the kernel takes (send, or sendmsg for several pieces)."""
        try:
            if len(pieces) == 1:
                return self._send(pieces[0], SEND_FLAGS)
            return self._send_several(pieces)
        except BlockingIOError:
            return 0
        except OSError as exc:
            raise self._lost(exc) from exc

    def _send_several(self, pieces: Sequence[bytes | memoryview]) -> int:
        if HAS_SENDMSG:
            if len(pieces) > MOST_PIECES:
                pieces = pieces[:MOST_PIECES]
            return self._socket.sendmsg(pieces, (), SEND_FLAGS)
        taken = 0
        for piece in pieces:
            try:
                count = self._send(piece, SEND_FLAGS)
            except BlockingIOError:
                break
            taken += count
            if count < memoryview(piece).nbytes:
                break
        return taken

    def close(self) -> None:
        """Shut down and close."""
        # Shutting down first wakes a thread that is blocked in recv; closing alone does not.
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def abandon(self) -> None:
        """Close this process's descriptor only."""
        self._socket.close()

    def _lost(self, exc: Exception) -> ConnectionLost:
        if self._socket.fileno() == -1 or getattr(exc, "errno", None) in CLOSED_HERE:
            return ConnectionLost(f"the connection to {self.name} was closed on this side")
        return ConnectionLost(f"the connection to {self.name} broke: {_reason(exc)}")


def _reason(exc: Exception) -> str:
    return (getattr(exc, "strerror", None) or str(exc) or type(exc).__name__).lower()


def connect_tcp(host: str, port: int, timeout: float = 10.0) -> SocketTransport:
    """Connect to a TCP server.

    Parameters
    ----------
    host
        A name or an address; all addresses of a name are tried in turn.
    timeout
        Seconds for all of them together. The lookup of the name is the system's and not counted.

    Raises
    ------
    ConnectFailed
        Nobody answered there; nothing is left open.
    """
    place = join_host_port(host, port)
    deadline = time.monotonic() + timeout
    try:
        targets = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, OverflowError) as exc:
        raise ConnectFailed(f"no host is called {host!r}: check its spelling") from exc
    failure: OSError | None = None
    for family, kind, protocol, _, target in targets:
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(max(deadline - time.monotonic(), 0.001))
            sock.connect(target)
            if sock.getsockname() == sock.getpeername():
                # The kernel lent us, as our own, the port we were looking for.
                raise ConnectionRefusedError(errno.ECONNREFUSED, "connected to itself")
        except OSError as exc:
            sock.close()
            failure = exc
        except BaseException:
            sock.close()
            raise
        else:
            return SocketTransport(sock, f"tcp://{place}")
    raise _connect_failed(place, failure, timeout) from failure


def _connect_failed(place: str, exc: OSError | None, timeout: float) -> ConnectFailed:
    if isinstance(exc, ConnectionRefusedError):
        return ConnectFailed(f"nothing listens on {place}: start a server there, or check the port")
    if isinstance(exc, TimeoutError):
        return ConnectFailed(
            f"{place} did not answer within {timeout:g} s: check the host, or a firewall between"
        )
    reason = _reason(exc) if exc is not None else "the name has no address"
    return ConnectFailed(f"cannot reach {place}: {reason}")


def connect_unix(path: str, timeout: float = 10.0) -> SocketTransport:
    """Connect to the Unix socket at a path.

    Raises
    ------
    ConnectFailed
        Nobody answered there; nothing is left open.
    """
    sock = _unix_socket()
    try:
        # A full backlog makes connect wait, and only SO_SNDTIMEO bounds that wait: a Python timeout
        # makes the socket non-blocking, which fails at once instead of waiting.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _interval(max(timeout, 0.001)))
        sock.connect(path)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _interval(0.0))
    except OSError as exc:
        sock.close()
        raise ConnectFailed(_unix_failure(path, exc, timeout)) from exc
    except BaseException:
        sock.close()
        raise
    return SocketTransport(sock, f"unix://{path}")


def _unix_failure(path: str, exc: OSError, timeout: float) -> str:
    if isinstance(exc, FileNotFoundError):
        return f"there is no socket at {path}: start a server there, or check the path"
    if isinstance(exc, ConnectionRefusedError):
        return f"nothing listens on the socket {path}: start its server again"
    if isinstance(exc, PermissionError):
        return f"the socket {path} belongs to another user, who alone may use it"
    if isinstance(exc, BlockingIOError):
        return f"the server of {path} did not answer within {timeout:g} s"
    return f"cannot connect to {path}: {_reason(exc)}"


def _unix_socket() -> socket.socket:
    if UNIX_FAMILY is None:
        raise ConnectFailed("this platform has no Unix sockets: use a host and a port")
    return socket.socket(UNIX_FAMILY, socket.SOCK_STREAM)


def listen_tcp(host: str, port: int, backlog: int = 128) -> socket.socket:
    """Open a listening TCP socket; port 0 takes a free one.

    Raises
    ------
    OSError
        The port is taken (``EADDRINUSE``), or the host is none of this machine's.
    """
    place = join_host_port(host, port)
    try:
        targets = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError, OverflowError) as exc:
        raise OSError(errno.EADDRNOTAVAIL, f"no host is called {host!r}") from exc
    # "localhost" is 127.0.0.1 first, which is what people write on the other side.
    targets.sort(key=lambda target: target[0] != socket.AF_INET)
    failure: OSError | None = None
    for family, kind, protocol, _, target in targets:
        listener: socket.socket | None = None
        try:
            listener = socket.socket(family, kind, protocol)
            _prepare_listener(listener, family)
            listener.bind(target)
            listener.listen(backlog)
        except OSError as exc:
            if listener is not None:
                listener.close()
            failure = exc
            if exc.errno == errno.EADDRINUSE:
                break
        else:
            return listener
    raise _listen_failed(place, host, failure) from failure


def _prepare_listener(listener: socket.socket, family: int) -> None:
    if os.name == "posix":
        # A restarted server gets its port back at once. On Windows it would share it with others.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)


def _listen_failed(place: str, host: str, exc: OSError | None) -> OSError:
    number = exc.errno if exc is not None else errno.EADDRNOTAVAIL
    if number == errno.EADDRINUSE:
        return OSError(number, f"{place} is taken by another program: choose another port")
    if number == errno.EADDRNOTAVAIL:
        return OSError(number, f"{host!r} is no address of this machine")
    if number in (errno.EACCES, errno.EPERM):
        return OSError(number, f"listening on {place} is not permitted: use a port above 1023")
    return OSError(number, f"cannot listen on {place}: {_reason(exc) if exc else 'no address'}")


def listen_unix(path: str, backlog: int = 128) -> socket.socket:
    """Open a listening Unix socket that only this user may connect to.

    A socket that a dead server left at the path is replaced; a live one, or any other kind of file,
    is not.

    Raises
    ------
    OSError
        The path is taken (``EADDRINUSE``), or cannot be made.
    """
    _remove_stale(path)
    listener = _unix_socket()
    try:
        listener.bind(path)
        # Nobody can connect before listen(), so there is no moment at which others could.
        os.chmod(path, stat.S_IRUSR | stat.S_IWUSR)  # noqa: PTH101
        listener.listen(backlog)
    except OSError as exc:
        listener.close()
        if exc.errno == errno.EADDRINUSE:
            raise OSError(exc.errno, f"{path} is taken: choose another path") from exc
        raise OSError(exc.errno, f"cannot listen on {path}: {_reason(exc)}") from exc
    return listener


def _remove_stale(path: str) -> None:
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise OSError(errno.EADDRINUSE, f"{path} exists and is not a socket: choose another path")
    if not _is_abandoned(path):
        raise OSError(errno.EADDRINUSE, f"{path} is in use by another server: choose another path")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)  # noqa: PTH108


def _is_abandoned(path: str) -> bool:
    with _unix_socket() as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            return True
        except OSError:  # full backlog, not permitted: somebody's all the same
            return False
        return False


def accept(listener: socket.socket) -> SocketTransport:
    """Take the next connection, waiting for it if the listener is a blocking one.

    Raises
    ------
    OSError
        The listener was closed (``EBADF``, ``EINVAL``), nobody waits on a non-blocking one, or the
        process has no descriptor left.
    ConnectionLost
        The peer was gone before it could be served; the listener is as good as before.
    """
    sock, address = listener.accept()
    if sock.family == UNIX_FAMILY:
        return SocketTransport(sock, f"unix://{listener.getsockname()}")
    return SocketTransport(sock, f"tcp://{join_host_port(address[0], address[1])}")


def close_listener(listener: socket.socket) -> None:
    """Close a listener, wake a thread that waits in `accept`, and remove a Unix socket's path."""
    path = None
    with contextlib.suppress(OSError):
        path = listener.getsockname() if listener.family == UNIX_FAMILY else None
    with contextlib.suppress(OSError):  # macOS refuses to shut a listener down, and wakes on close
        listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    with contextlib.suppress(OSError):
        # Another server may have taken the path over by now.
        if path and stat.S_ISSOCK(os.lstat(path).st_mode) and _is_abandoned(path):
            os.unlink(path)  # noqa: PTH108


def raw_socket(transport: Transport) -> socket.socket:
    """Give the socket of a transport, for one who goes on without the transport.

    Raises
    ------
    TypeError
        The transport is no socket.
    """
    if not isinstance(transport, SocketTransport):
        raise TypeError(f"{transport.name} is no socket")
    return transport._socket  # noqa: SLF001 - of a class of this file


def socket_below(transport: Transport) -> socket.socket | None:
    """Give the socket that a transport runs on, encrypted or not; None where there is none.

    It is there to be asked and tuned: reading or writing it would tear what it carries.
    """
    below: Transport | None = transport
    while below is not None and not isinstance(below, SocketTransport):
        below = getattr(below, "below", None)
    return None if below is None else below._socket  # noqa: SLF001 - of a class of this file


def peer_user(transport: Transport) -> int | None:
    """Give the user id of the process at the other end of a Unix socket.

    Returns
    -------
    int or None
        None for other transports, and on platforms that do not tell; there, the socket's mode
        (0600) alone keeps other users out.
    """
    option = getattr(socket, "SO_PEERCRED", None)
    sock = socket_below(transport)
    if sock is None or sock.family != UNIX_FAMILY or option is None:
        return None
    try:
        credentials = sock.getsockopt(socket.SOL_SOCKET, option, struct.calcsize("3i"))
    except OSError:
        return None
    return int(struct.unpack("3i", credentials)[1])


def peer_host(transport: Transport) -> str | None:
    """Give the address of the machine at the other end; None when that is not known or not TCP."""
    sock = socket_below(transport)
    if sock is None or sock.family == UNIX_FAMILY:
        return None
    try:
        return str(sock.getpeername()[0])
    except OSError:
        return None


def is_loopback(host: str) -> bool:
    """Tell whether a name or address leads to this machine's loopback, and nowhere else.

    Names other than ``localhost`` are looked up, which may take the system's time.
    """
    if host == "localhost":
        return True
    try:
        targets = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return False
    return bool(targets) and all(_is_loopback_address(str(item[4][0])) for item in targets)


def _is_loopback_address(address: str) -> bool:
    return address == "::1" or address.removeprefix("::ffff:").startswith("127.")
