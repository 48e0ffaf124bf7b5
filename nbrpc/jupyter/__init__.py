"""The extension of Jupyter Server: this user's servers, reached through Jupyter.

It is enabled by ``jupyter_server_config.d/nbrpc.json``, which is installed with nbrpc. Then
``nbrpc.connect("https://hub.example.org/user/ada/nbrpc/ws/NAME", token=<Jupyter's token>)`` reaches
the server of that name, where nothing but Jupyter can be reached from outside.

**Who is let in.** Jupyter decides that, as for its kernels: by its token, in a header, and by
whether that user may run code in kernels. A page of another site is refused, even if it has a
token.

**The server's own token.** The handshake of nbrpc goes from end to end, and the client has to hold
the server's token for it. The relay runs as the user whose server that is, and reads the token in
the connection file; and who may run code in that user's kernels could read it there as well. So the
relay tells it, in a header of the answer that makes the connection a WebSocket. It is in no URL and
in no list. Of a server with TLS the relay checks the certificate, which the client cannot see, and
tells its hash, since the proofs cover it.
"""

from __future__ import annotations

from typing import Any

__all__: list[str] = []


def _load_jupyter_server_extension(app: Any) -> None:
    """Add the handlers to a Jupyter server."""
    from jupyter_server.utils import url_path_join

    from nbrpc.jupyter.handlers import RelayHandler, ServersHandler

    base = app.web_app.settings["base_url"]
    app.web_app.add_handlers(
        ".*$",
        [
            (url_path_join(base, "nbrpc/api/servers"), ServersHandler),
            (url_path_join(base, "nbrpc/ws/(.+)"), RelayHandler),
        ],
    )
