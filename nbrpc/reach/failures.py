"""Why ssh came to no connection, in one sentence that says what to do."""

from __future__ import annotations

from typing import Final

from nbrpc.errors import AuthenticationFailed, ConnectFailed, NbrpcError
from nbrpc.transports.ssh_url import FarSide

__all__ = ["NO_FOLDER", "NO_PYTHON", "why_ssh_failed"]

NO_FOLDER: Final = 96
NO_PYTHON: Final = 97
"""Exit codes of what is run on the far side."""

NOT_FOUND: Final = 127
NOT_RUNNABLE: Final = 126
OF_SSH: Final = 255
"""The exit code when ssh itself failed."""

KEYS: Final = (
    (
        "REMOTE HOST IDENTIFICATION HAS CHANGED",
        (
            "{host} shows another key than before: it was installed anew, or somebody stands "
            "between; `ssh {host}` in a terminal tells what to do"
        ),
    ),
    (
        "Host key verification failed",
        "ssh does not know {host} yet: run `ssh {host}` in a terminal once, and confirm its key",
    ),
    (
        "Permission denied (",
        (
            "{host} does not know your key: try `ssh {host}` in a terminal first; a key with a "
            "passphrase must be in ssh-agent, since nobody is asked here"
        ),
    ),
    (
        "Too many authentication failures",
        (
            "{host} was offered too many keys: name the right one in ssh's configuration "
            "(IdentityFile and IdentitiesOnly)"
        ),
    ),
)

WAYS: Final = (
    (
        "Could not resolve hostname",
        "no host is called {host}: check its spelling, or ssh's configuration",
    ),
    ("Connection refused", "no ssh server answers on {host}: check the host and the port"),
    ("timed out", "{host} did not answer in time: check the host, or a firewall between"),
    ("No route to host", "there is no way to {host} from here: check the network"),
)


def why_ssh_failed(host: str, far: FarSide, code: int | None, said: str) -> NbrpcError:
    """Give the error for an ssh that has ended before the far side spoke.

    Parameters
    ----------
    host
        What the far side is called.
    far
        What was to run there.
    code
        The exit code; None if it did not end.
    said
        The last lines of its standard error.
    """
    if code == OF_SSH:
        for sign, sentence in KEYS:
            if sign in said:
                where = host if far.user is None else f"{far.user}@{host}"
                return AuthenticationFailed(sentence.format(host=where))
        for sign, sentence in WAYS:
            if sign in said:
                return ConnectFailed(sentence.format(host=host))
    if code == NO_FOLDER:
        return ConnectFailed(f"there is no folder {far.cwd} on {host}: check cwd= in the URL")
    if code in (NO_PYTHON, NOT_FOUND, NOT_RUNNABLE):
        if far.python is None or code == NO_PYTHON:
            return ConnectFailed(
                f"there is no Python on {host}: install Python 3.11 or later there, or name one, "
                f"as in ssh://{host}?python=/path/to/python"
            )
        return ConnectFailed(
            f"there is no Python that runs at {far.python} on {host}: check python= in the URL"
        )
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    last = lines[-1] if lines else "it said nothing"
    ended = "did not end" if code is None else f"ended with code {code}"
    return ConnectFailed(f"no server could be started on {host}: ssh {ended}: {last}")
