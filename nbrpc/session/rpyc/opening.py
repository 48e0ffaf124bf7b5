"""The connecting side of RPyC's protocol: what the server serves, and whether it runs code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbrpc.errors import CallTimeout, ConnectFailed, NbrpcError
from nbrpc.objects.access import Policy
from nbrpc.objects.proxy import is_proxy
from nbrpc.session import dispatch
from nbrpc.session.call import Call
from nbrpc.session.rpyc.session import RpycSession
from nbrpc.transports.base import Transport

if TYPE_CHECKING:
    from nbrpc.protocol.rpyc.machine import RpycProtocol
    from nbrpc.session.connection import Connection
    from nbrpc.session.opening import Terms

__all__ = ["introduce", "session_for"]

CLASSIC = frozenset({"getmodule", "eval", "execute"})
"""The methods by which a server of RPyC's classic mode is known; up to 4.1 they have the prefix."""

CLASSIC_NAMES = frozenset({"SlaveService", "ClassicService"})


def session_for(
    transport: Transport, protocol: RpycProtocol, policy: Policy, terms: Terms
) -> RpycSession:
    """Make the session of a connection that this side has opened."""
    return RpycSession(
        transport,
        protocol,
        policy,
        connecting=terms.connecting,
        dispatcher=terms.dispatcher or dispatch.default(),
        limits=terms.limits,
        timing=terms.timing,
    )


def introduce(session: RpycSession, connection: Connection, reply: Any, seconds: float) -> None:
    """Take in what the server said of its root, and learn what that is.

    Raises
    ------
    ConnectFailed
        It serves nothing that can be used, or does not say in time what.
    """
    call = Call(session, 0)
    call.resolve(reply)
    session.boxing.patience = max(0.1, seconds)
    try:
        root = session.result_of(call)
    except (CallTimeout, NbrpcError) as error:
        reason = str(error).partition("\n")[0]  # without the traceback of the peer
        raise ConnectFailed(f"{session.name} does not say what it serves: {reason}") from error
    finally:
        session.boxing.patience = None
    if not is_proxy(root):
        raise ConnectFailed(f"{session.name} serves {root!r:.80}, which is no object")
    session.root = root
    described = root._nbrpc_description_
    members = {name.removeprefix("exposed_") for name in described.members}
    session.allows_code = members >= CLASSIC or described.name in CLASSIC_NAMES
    connection.peer |= {
        "service": described.name,
        "allow_code": "yes" if session.allows_code else "no",
    }
