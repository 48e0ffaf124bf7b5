"""nbrpc by WebSocket: the same server and the same port."""

from __future__ import annotations

from typing import Any

import nbrpc
from benchmarks.peers.native import NbrpcClient, NbrpcPeer


class WebSocketPeer(NbrpcPeer):
    """Ours, where only HTTP passes; a Unix socket is what it always is."""

    def connect(self, address: Any, kind: str = "tcp") -> NbrpcClient:
        if kind == "unix":
            return super().connect(address, kind)
        return NbrpcClient(nbrpc.connect(f"ws://127.0.0.1:{address['tcp']}"))


PEER = WebSocketPeer()
