"""nbrpc with ``by_reference``: arguments stay with the client, and the server asks for items."""

from __future__ import annotations

from typing import Any

import nbrpc
from benchmarks.peers.native import NbrpcClient, NbrpcPeer


class LendingClient(NbrpcClient):
    """A connection whose arguments are lent."""

    def total(self, kind: str, values: Any) -> float:
        return super().total(kind, nbrpc.by_reference(values))


class LendingPeer(NbrpcPeer):
    """Ours, for the measures with data as an argument; the others are those of ``nbrpc``."""

    def connect(self, address: Any, kind: str = "tcp") -> LendingClient:
        if kind == "unix":
            return LendingClient(nbrpc.connect(f"unix://{address['unix']}"))
        return LendingClient(nbrpc.connect("127.0.0.1", address["tcp"]))


PEER = LendingPeer()
