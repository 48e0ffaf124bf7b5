"""Connection files: how programs of one user on one machine find that user's servers.

A server writes ``<server id>.json`` into the user's runtime folder, as Jupyter does for kernels,
and removes it when it closes. The file holds the token, so it is readable by its owner alone, and
one that others could have read or written is not believed.

A file may outlive its server (a crash, a power cut), and process ids are used again. So it names
the boot, the process and the moment that the process started; when these no longer hold, the file
is removed by whoever notices. The runtime folder may be shared, with other machines (a home on the
network) or with containers (which see other process ids): what they wrote cannot be judged from
here, and is neither used nor removed.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import secrets
import socket
import stat
import warnings
from pathlib import Path
from urllib.parse import quote

import msgspec

__all__ = [
    "ServerInfo",
    "find_by_id",
    "find_by_name",
    "find_by_port",
    "remove",
    "running",
    "runtime_folder",
    "write",
]

LARGEST_FILE = 64 * 1024
"""Bytes; a real one has less than 1 KiB."""

LONGEST_ID = 64
"""Characters of a server id; it becomes a file name, and clients take it from the wire."""

WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - not a bind


class ServerInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a connection file says about a server.

    Attributes
    ----------
    server_id : str
        Random, in hexadecimal; the server's Hello carries the same.
    name : str
        What people call the server.
    host, port, path
        Where it listens: host and port, or the path of a Unix socket.
    token : str
        The secret that lets a client in; it is not in the repr.
    service : str
        What is served, for people.
    fingerprint : str
        ``sha256:...`` of the certificate of a server with TLS; empty without.
    pid, started, boot_id, namespace, host_name
        Which process that is, as `ServerInfo.of_this_process` found out.
    """

    server_id: str
    name: str
    token: str
    service: str
    pid: int
    started: str
    boot_id: str
    namespace: str
    host_name: str
    host: str | None = None
    port: int | None = None
    path: str | None = None
    allow_code: bool = False
    version: str = ""
    fingerprint: str = ""

    @classmethod
    def of_this_process(
        cls,
        *,
        server_id: str,
        name: str,
        token: str,
        service: str,
        host: str | None = None,
        port: int | None = None,
        path: str | None = None,
        allow_code: bool = False,
        version: str = "",
        fingerprint: str = "",
    ) -> ServerInfo:
        """Describe a server of the running process."""
        pid = os.getpid()
        return cls(
            server_id=server_id,
            name=name,
            token=token,
            service=service,
            host=host,
            port=port,
            path=path,
            allow_code=allow_code,
            version=version,
            fingerprint=fingerprint,
            pid=pid,
            started=_start_of(pid),
            boot_id=_boot_id(),
            namespace=_namespace(),
            host_name=socket.gethostname(),
        )

    @property
    def local_host(self) -> str:
        """The host by which a client of this machine reaches the server."""
        host = self.host or ""
        return WILDCARDS.get(host, host)

    @property
    def url(self) -> str:
        """Where a client of this machine connects, without token and fingerprint."""
        if self.path is None:
            host = f"[{self.local_host}]" if ":" in self.local_host else self.local_host
            return f"nbrpc{'s' if self.fingerprint else ''}://{host}:{self.port}"
        return f"unix://{quote(self.path)}"

    def __repr__(self) -> str:
        return f"<ServerInfo {self.name!r} {self.url} pid {self.pid}>"


def runtime_folder() -> Path:
    """Give the folder of the connection files; it need not exist.

    The environment variable ``NBRPC_RUNTIME_DIR`` overrides it.
    """
    chosen = os.environ.get("NBRPC_RUNTIME_DIR")
    return Path(chosen) if chosen else _default_folder()


@functools.cache
def _default_folder() -> Path:
    import platformdirs  # 27 ms, which is half of what `import nbrpc` may take

    with warnings.catch_warnings():
        # It warns when XDG_RUNTIME_DIR is not set, and falls back to what is right for us.
        warnings.simplefilter("ignore")
        return Path(platformdirs.user_runtime_dir("nbrpc", appauthor=False))


def write(info: ServerInfo) -> Path:
    """Write the connection file of a server and give its path.

    Raises
    ------
    OSError
        The folder cannot be made, or other users may write to it; nothing was written.
    ValueError
        The server id is not hexadecimal.
    """
    path = _path_of(info.server_id)
    if path is None:
        raise ValueError(f"a server id is up to {LONGEST_ID} hexadecimal digits")
    folder = path.parent
    _make_private(folder)
    if not _is_private_folder(folder):
        raise PermissionError(
            errno.EPERM,
            f"{folder} is not a folder that this user alone may write to: "
            f"set NBRPC_RUNTIME_DIR to one",
        )
    # Under its own name only once it is complete, so that nobody reads half of it.
    draft = path.with_name(f".{info.server_id}-{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(info), indent=2))
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    return path


def _make_private(folder: Path) -> None:
    """Make a folder and those above it as far as they are missing, all for this user alone."""
    if not folder.is_dir():
        _make_private(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def remove(path: Path) -> None:
    """Remove a connection file; one that is gone already is no error."""
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


def running() -> list[ServerInfo]:
    """Give this user's running servers on this machine, the newest first.

    Files of servers that no longer run are removed on the way.
    """
    folder = runtime_folder()
    if not _is_private_folder(folder):
        return []
    found: list[tuple[int, ServerInfo]] = []
    for path in folder.glob("*.json"):
        info = _read_live(path)
        if info is not None:
            with contextlib.suppress(FileNotFoundError):
                found.append((path.stat().st_mtime_ns, info))
    found.sort(key=lambda item: item[0], reverse=True)
    return [info for _, info in found]


def find_by_port(port: int) -> ServerInfo | None:
    """Give the running server on a TCP port; the newest, should several addresses have it."""
    return next((info for info in running() if info.port == port), None)


def find_by_name(name: str) -> ServerInfo | None:
    """Give the running server of a name; the newest, should several have it."""
    return next((info for info in running() if info.name == name), None)


def find_by_id(server_id: str) -> ServerInfo | None:
    """Give the running server with an id.

    Parameters
    ----------
    server_id
        As the peer gave it: anything but a plain id finds nothing.
    """
    path = _path_of(server_id)
    if path is None or not _is_private_folder(path.parent):
        return None
    return _read_live(path)


def _path_of(server_id: str) -> Path | None:
    if not 0 < len(server_id) <= LONGEST_ID or set(server_id) - set("0123456789abcdef"):
        return None
    return runtime_folder() / f"{server_id}.json"


def _is_private_folder(folder: Path) -> bool:
    """Tell whether this user alone decides what is in a folder."""
    try:
        status = folder.stat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and _is_ours(status, forbidden=0o022)


def _is_ours(status: os.stat_result, forbidden: int) -> bool:
    if os.name != "posix":  # there, what is below the user's profile is private by inheritance
        return True
    return status.st_uid == os.geteuid() and not status.st_mode & forbidden


def _read_live(path: Path) -> ServerInfo | None:
    """Read a connection file; None when it is not to be used. A stale one is removed."""
    info = _read(path)
    if info is None or f"{info.server_id}.json" != path.name:
        return None
    if info.boot_id != _boot_id():
        # The same machine after a restart, or another machine altogether.
        if info.host_name == socket.gethostname():
            remove(path)
        return None
    if info.namespace != _namespace():
        return None
    if not info.started or _start_of(info.pid) != info.started:
        remove(path)
        return None
    return info


def _read(path: Path) -> ServerInfo | None:
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        descriptor = os.open(path, flags)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or not _is_ours(status, forbidden=0o077):
            return None
        try:
            return msgspec.json.decode(file.read(LARGEST_FILE), type=ServerInfo)
        except (OSError, msgspec.DecodeError):
            return None


@functools.cache
def _boot_id() -> str:
    """Name this boot of the machine; empty where the system does not.

    It is needed where `_start_of` counts from the boot, which is the same system.
    """
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""


def _namespace() -> str:
    """Name the set of process ids that this process sees: containers have their own."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def _start_of(pid: int) -> str:
    """Tell when a process started, in the system's own terms; empty when it does not run."""
    if Path("/proc/self/stat").exists():
        try:
            text = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
        except OSError:
            return ""
        # The second field is the program's name in parentheses, which may hold anything.
        state, *fields = text.rpartition(")")[2].split()
        return "" if state in "ZX" else fields[18]
    if os.name == "posix":
        return _start_by_ps(pid)
    # Windows has no question that is as cheap: a file left by a crash stays until it is deleted,
    # and clients are not misled by it, since they compare the server's id.
    return "unknown"


def _start_by_ps(pid: int) -> str:
    import subprocess

    try:
        answer = subprocess.run(  # noqa: S603 - a number is all that varies
            ["ps", "-o", "lstart=", "-p", str(pid)],  # noqa: S607
            capture_output=True,
            check=False,
            env={**os.environ, "LC_ALL": "C"},
            text=True,
            timeout=5.0,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.strip()
