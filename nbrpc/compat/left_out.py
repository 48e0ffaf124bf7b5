"""What of RPyC is not there under its name, and what to use instead: one table.

A name of it that is a function or class refuses with its sentence when it is used; the others are
internals that a program sees the lack of as an ImportError with the same sentence.
"""

from __future__ import annotations

from typing import Any, Final

__all__ = ["LEFT_OUT", "refuse", "refused"]

TLS_STREAM = "a stream has no TLS of its own: use rpyc.ssl_connect, which gives a connection"
DEPLOYING = (
    "nbrpc copies no packages to other machines: install nbrpc there, start a server with "
    "`nbrpc serve`, and connect through an ssh tunnel"
)
WINDOWS_PIPES = "pipes of Windows are not available: use a TCP connection to 127.0.0.1"
GEVENT = "nbrpc needs no monkey patching: use ThreadedServer, which has no thread per connection"
BRINE = "the serializer has other insides here: use rpyc.core.brine.dump, load and dumpable"
EXCEPTIONS = (
    "exceptions travel another way here: catch the builtin class, or rpyc.GenericException, whose "
    "type_name and remote_traceback tell the rest"
)
PROXIES = "proxies are made another way here: use isinstance(obj, rpyc.BaseNetref)"
REACTOR = "RPyC's own reactor is unused code: register conn.fileno() with a loop of your own"
POLLING = "use select.poll, or the selectors module"
OPCODES = "functions are taken apart another way: use export_function and import_function"
APPLICATION = "the command lines are plain functions here: call main(argv)"
INTERNAL = "an internal of RPyC that nbrpc has no use for"


def _each(path: str, names: str, sentence: str) -> dict[str, str]:
    return {f"{path}.{name}": sentence for name in names.split()}


LEFT_OUT: Final[dict[str, str]] = {
    "rpyc.SocketStream.ssl_connect": TLS_STREAM,
    "rpyc.ssh_connect": (
        "nbrpc opens no ssh connections itself in this release: give a machine with a tunnel "
        "method (plumbum's SshMachine), or open ssh -L yourself and connect to 127.0.0.1"
    ),
    "rpyc.utils.zerodeploy.DeployedServer": DEPLOYING,
    "rpyc.utils.zerodeploy.MultiServerDeployment": DEPLOYING,
    "rpyc.utils.zerodeploy.SERVER_SCRIPT": DEPLOYING,
    "rpyc.utils.server.GeventServer": GEVENT,
    "rpyc.core.stream.Win32PipeStream": WINDOWS_PIPES,
    "rpyc.core.stream.NamedPipeStream": WINDOWS_PIPES,
    **_each("rpyc.core.stream", "ClosedFile retry_errnos win32event win32file win32pipe", INTERNAL),
    **_each(
        "rpyc.core.brine",
        "C16 F8 I1 I4 I8I8 IMM_INTS IMM_INTS_LOADER TAG_COMPLEX TAG_ELLIPSIS TAG_EMPTY_STR "
        "TAG_EMPTY_TUPLE TAG_FALSE TAG_FLOAT TAG_FSET TAG_INT_L1 TAG_INT_L4 TAG_NONE "
        "TAG_NOT_IMPLEMENTED TAG_SLICE TAG_STR1 TAG_STR2 TAG_STR3 TAG_STR4 TAG_STR_L1 TAG_STR_L4 "
        "TAG_TRUE TAG_TUP1 TAG_TUP2 TAG_TUP3 TAG_TUP4 TAG_TUP_L1 TAG_TUP_L4 TAG_UNICODE register "
        "simple_types",
        BRINE,
    ),
    **_each(
        "rpyc.core.vinegar", "REMOTE_LINE REMOTE_LINE_END REMOTE_LINE_START dump load", EXCEPTIONS
    ),
    **_each(
        "rpyc.core.netref",
        "DELETED_ATTRS NetrefClass builtin_classes_cache builtin_id_pack_cache class_factory",
        PROXIES,
    ),
    **_each("rpyc.core.protocol", "UNBOUND_THREAD_ID", INTERNAL),
    **_each("rpyc.core.reactor", "SelectReactor start_reactor", REACTOR),
    **_each("rpyc.lib.compat", "PollingPoll poll", POLLING),
    **_each("rpyc.core.stream", "poll", POLLING),
    **_each("rpyc.utils.server", "poll", POLLING),
    **_each("rpyc.utils.server", "gevent", GEVENT),
    "rpyc.utils.zerodeploy.local": DEPLOYING,
    **_each(
        "rpyc.utils.teleportation",
        "CODE_HAVEARG_SIZE decode_codeobj is_py_gte310 is_py_gte311 is_py_gte38",
        OPCODES,
    ),
    **_each("rpyc.cli.rpyc_classic", "ClassicServer", APPLICATION),
    **_each("rpyc.cli.rpyc_registry", "RegistryServer", APPLICATION),
    "rpyc.Connection(root, channel)": (
        "connections are made by connecting: use rpyc.connect_stream or rpyc.connect_channel"
    ),
    **_each(
        "rpyc.Connection",
        "_HANDLERS _dispatch _local_objects _recvlock _request_callbacks",
        "an internal of RPyC's connection: conn.statistics() gives figures, sync_request requests",
    ),
    "rpyc.Server._accept_method": (
        "servers here have no thread for each client: derive from ThreadedServer, and see clients "
        "in on_connect of the service"
    ),
    "rpyc.AsyncResult(conn)": "results are made by calls: use rpyc.async_",
    "rpyc.Server.accept": "a server takes its clients from its own socket: use connect_stream",
}
"""By the path of a name, the sentence that says what to use instead."""


def refuse(path: str) -> NotImplementedError:
    """Give the error of a name that is left out."""
    return NotImplementedError(f"{path} is not available: {LEFT_OUT[path]}")


def refused(path: str) -> Any:
    """Make what stands for a function or class that is left out: calling it says so."""

    def stand_in(*_args: Any, **_kwargs: Any) -> Any:
        raise refuse(path)

    stand_in.__name__ = stand_in.__qualname__ = path.rpartition(".")[2]
    stand_in.__doc__ = f"Refuse: {LEFT_OUT[path]}."
    return stand_in
