"""A real OpenSSH server on loopback, with throw-away keys and a configuration of its own."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
from pathlib import Path

from tests.support import eventually

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")

HOST = "gpu-box"
"""What the tests' configuration of ssh calls the server."""


class SshServer:
    """An sshd on a free port, and the configuration by which ssh reaches it.

    Parameters
    ----------
    folder
        Where keys, configuration and log go; the far side's home as well.
    """

    def __init__(self, folder: Path) -> None:
        assert SSHD, "these tests need OpenSSH's server: apt-get install openssh-server"
        self.folder = folder
        self.home = folder / "home"
        self.home.mkdir()
        for name in ("host_key", "user_key", "other_key"):
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
            subprocess.run(command, check=True)
        shutil.copy(folder / "user_key.pub", folder / "authorized_keys")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.know()
        self.configure()
        self._start()

    def know(self, key: str = "host_key") -> None:
        """Have ssh take this key for the server's; none with an empty text."""
        line = ""
        if key:
            kind, public, *_ = (self.folder / f"{key}.pub").read_text().split()
            line = f"[127.0.0.1]:{self.port} {kind} {public}\n"
        (self.folder / "known_hosts").write_text(line)

    def configure(
        self,
        key: str = "user_key",
        host_name: str = "127.0.0.1",
        port: int | None = None,
        user: str | None = None,
    ) -> None:
        """Write the configuration of ssh."""
        lines = (
            f"Host {HOST}",
            f'HostName "{host_name}"',
            f"Port {port or self.port}",
            f"User {user or getpass.getuser()}",
            f"IdentityFile {self.folder / key}",
            "IdentitiesOnly yes",
            "IdentityAgent none",
            f"UserKnownHostsFile {self.folder / 'known_hosts'}",
            "GlobalKnownHostsFile /dev/null",
            "StrictHostKeyChecking yes",
        )
        (self.folder / "config").write_text("".join(f"{line}\n" for line in lines))

    @property
    def command(self) -> str:
        """What `NBRPC_SSH` is to be."""
        return f"ssh -F {self.folder / 'config'}"

    def _start(self) -> None:
        if os.getuid() == 0:  # where it drops its privileges
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        lines = (
            f"Port {self.port}",
            "ListenAddress 127.0.0.1",
            f"HostKey {self.folder / 'host_key'}",
            f"AuthorizedKeysFile {self.folder / 'authorized_keys'}",
            f"PidFile {self.folder / 'pid'}",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "UsePAM no",
            "StrictModes no",  # the folder of a test is below /tmp
            "PermitRootLogin prohibit-password",
            f"SetEnv HOME={self.home} NBRPC_RUNTIME_DIR={self.folder / 'runtime'}",
        )
        (self.folder / "sshd_config").write_text("".join(f"{line}\n" for line in lines))
        with (self.folder / "sshd.log").open("wb") as log:
            self.process = subprocess.Popen(
                [SSHD, "-D", "-e", "-f", str(self.folder / "sshd_config")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        eventually(self._answers, 10.0, "sshd listens")

    def _answers(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError((self.folder / "sshd.log").read_text())
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self) -> None:
        """End it; sessions that it has begun go on until their clients are gone."""
        self.process.terminate()
        self.process.wait(10)
