"""What a Jupyter server answers under ``nbrpc/``."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from typing import Any

from jupyter_core.utils import ensure_async
from jupyter_server.auth.decorator import authorized, ws_authenticated
from jupyter_server.base.handlers import APIHandler, JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from tornado import web
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from nbrpc.connection_file import ServerInfo, find_by_name, running
from nbrpc.errors import ConnectFailed
from nbrpc.transports.certificates import client_context, fingerprint_of
from nbrpc.transports.upgrade import CHANNEL_HEADER, REASON_HEADER, TOKEN_HEADER

__all__ = ["RelayHandler", "ServersHandler"]

AUTH_RESOURCE = "kernels"
"""Whoever may use a kernel may run code as this user, and nbrpc's servers are open to that."""

PIECE = 128 * 1024
"""Bytes that are read at once; about as many may wait for a slow side in each direction."""

PATIENCE = 5.0
"""Seconds in which the server has to take the connection."""

UNSUPPORTED_DATA = 1003


class ServersHandler(APIHandler):
    """``nbrpc/api/servers``: the servers of this user that run."""

    auth_resource = AUTH_RESOURCE

    @web.authenticated
    @authorized
    def get(self) -> None:
        """Give them as JSON, the newest first, and no token of any."""
        servers = [
            {
                "name": info.name,
                "service": info.service,
                "pid": info.pid,
                "protocol": info.url.partition("://")[0],
            }
            for info in running()
        ]
        self.finish(json.dumps(servers))


class RelayHandler(WebSocketMixin, WebSocketHandler, JupyterHandler):
    """``nbrpc/ws/NAME``: a WebSocket whose bytes go to the server of that name, and back.

    Each direction takes no more than the other side has room for: the one from the client waits in
    `on_message`, which Tornado awaits before it reads on, and the other for Tornado's writing.
    """

    auth_resource = AUTH_RESOURCE
    _reader: asyncio.StreamReader
    _writer: asyncio.StreamWriter | None = None
    _returning: asyncio.Task[None] | None = None

    def set_default_headers(self) -> None:
        """Set none of those that are for pages."""

    def skip_check_origin(self) -> bool:
        """Look at the origin of whoever has a token as well: no page is a client of nbrpc."""
        return False

    def get_compression_options(self) -> None:
        """Offer no compression, which costs much and lets a little data become a lot."""

    @ws_authenticated
    async def get(self, name: str) -> None:
        """Connect to the server of that name, and become a WebSocket."""
        allowed = await ensure_async(
            self.authorizer.is_authorized(self, self.current_user, "execute", AUTH_RESOURCE)
        )
        origin = self.request.headers.get("Origin")
        if not allowed or (origin is not None and not self.check_origin(origin)):
            raise web.HTTPError(403)
        info = find_by_name(name)
        if info is None:
            self._refuse(404, f"no server of nbrpc that runs there is called {name!r}")
            return
        try:
            async with asyncio.timeout(PATIENCE):
                await self._reach(info)
        except (OSError, ConnectFailed) as error:  # TimeoutError is an OSError
            self._refuse(502, f"the server {name!r} cannot be reached from Jupyter: {error}")
            return
        if info.token:
            self.set_header(TOKEN_HEADER, info.token)
        await super().get(name)
        if self.ws_connection is None:  # it was no request for a WebSocket
            self._end()

    async def _reach(self, info: ServerInfo) -> None:
        """Connect to a server, and make sure that it is the one of the connection file."""
        if info.path is not None:
            self._reader, self._writer = await asyncio.open_unix_connection(info.path, limit=PIECE)
            return
        context = client_context(True, info.fingerprint) if info.fingerprint else None
        self._reader, self._writer = await asyncio.open_connection(
            info.local_host, info.port, limit=PIECE, ssl=context
        )
        if context is not None:
            certificate = self._writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
            if fingerprint_of(certificate) != info.fingerprint:
                self._end()
                raise ConnectFailed("another server has taken its port")
            self.set_header(CHANNEL_HEADER, hashlib.sha256(certificate).hexdigest())

    def _refuse(self, status: int, reason: str) -> None:
        """Say why there is no WebSocket."""
        self.set_status(status)
        self.set_header(REASON_HEADER, reason.encode("ascii", "backslashreplace").decode())
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(reason)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer without a page: no person looks at it."""
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(f"{status_code}: {self._reason}")

    def open(self, *args: str, **kwargs: str) -> None:
        """Begin to relay."""
        super().open(*args, **kwargs)
        self._returning = asyncio.ensure_future(self._return_bytes())

    async def on_message(self, message: str | bytes) -> None:
        """Pass on what the client sends; Tornado reads no more until that is taken."""
        if isinstance(message, str):
            self.close(UNSUPPORTED_DATA, "nbrpc speaks in binary frames")
            return
        assert self._writer is not None
        self._writer.write(message)
        with contextlib.suppress(OSError):  # the other direction ends as well, and tells of it
            await self._writer.drain()

    async def _return_bytes(self) -> None:
        """Pass on what the server sends, until it ends."""
        with contextlib.suppress(OSError, WebSocketClosedError):
            while data := await self._reader.read(PIECE):
                await self.write_message(data, binary=True)
        self.close()

    def on_close(self) -> None:
        """End the connection to the server."""
        if self._returning is not None:
            self._returning.cancel()
        self._end()

    def _end(self) -> None:
        if self._writer is not None:
            self._writer.close()
