"""The numbers of ``rpyc.core.consts`` and the defaults of ``rpyc.core.protocol``."""

from __future__ import annotations

from typing import Any, Final

from nbrpc.options import SAFE_ATTRIBUTES

__all__ = ["CONSTANTS", "DEFAULT_CONFIG"]

HANDLERS = (
    "PING CLOSE GETROOT GETATTR DELATTR SETATTR CALL CALLATTR REPR STR CMP HASH DIR PICKLE DEL "
    "INSPECT BUFFITER OLDSLICING CTXEXIT INSTANCECHECK"
)

CONSTANTS: Final[dict[str, int]] = {
    **{f"HANDLE_{name}": number for number, name in enumerate(HANDLERS.split(), 1)},
    "MSG_REQUEST": 1,
    "MSG_REPLY": 2,
    "MSG_EXCEPTION": 3,
    "LABEL_VALUE": 1,
    "LABEL_TUPLE": 2,
    "LABEL_LOCAL_REF": 3,
    "LABEL_REMOTE_REF": 4,
    "EXC_STOP_ITERATION": 1,
    "STREAM_CHUNK": 64000,
}


def __getattr__(name: str) -> Any:
    """Give a number by its name."""
    if name in CONSTANTS:
        return CONSTANTS[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


OLD_SAFE_ATTRIBUTES = (
    "__cmp__ __delslice__ __div__ __getslice__ __hex__ __idiv__ __long__ __nonzero__ __oct__ "
    "__rdiv__ __setslice__ next __doc__ __new__"
)
"""Names in RPyC's set that nothing of Python 3 asks for, or that tell nothing."""

DEFAULT_CONFIG: Final[dict[str, Any]] = {
    "allow_safe_attrs": True,
    "allow_exposed_attrs": True,
    "allow_public_attrs": False,
    "allow_all_attrs": False,
    "safe_attrs": set(SAFE_ATTRIBUTES) | set(OLD_SAFE_ATTRIBUTES.split()),
    "exposed_prefix": "exposed_",
    "allow_getattr": True,
    "allow_setattr": False,
    "allow_delattr": False,
    "include_local_traceback": True,
    "include_local_version": True,
    "instantiate_custom_exceptions": False,
    "import_custom_exceptions": False,
    "instantiate_oldstyle_exceptions": False,
    "propagate_SystemExit_locally": False,
    "propagate_KeyboardInterrupt_locally": True,
    "log_exceptions": True,
    "allow_pickle": False,
    "connid": None,
    "credentials": None,
    "endpoints": None,
    "logger": None,
    "sync_request_timeout": 30,
    "before_closed": None,
    "close_catchall": False,
    "bind_threads": False,
}
"""What each connection through RPyC's names starts from; a program may change it."""
