"""A server whose objects claim every hook of Python there is, and say when one was used.

Run as a program: it prints its URL. Its policy opens every name. With the argument ``rpyc`` it is
served by RPyC itself, and prints its port.
"""

from __future__ import annotations

import sys

import nbrpc

HOOKS = """
    __copy__ __deepcopy__ __replace__ __reduce__ __reduce_ex__ __getstate__ __setstate__
    __getnewargs__ __getnewargs_ex__ __getinitargs__
    __array__ __array_interface__ __array_struct__ __array_ufunc__ __array_function__
    __array_wrap__ __array_finalize__ __array_priority__ __array_namespace__ __dlpack__
    __dlpack_device__ __cuda_array_interface__ __dataframe__ __arrow_array__ __arrow_c_array__
    __arrow_c_schema__ __arrow_c_stream__ __buffer__ __release_buffer__
    __fspath__ __html__ __wrapped__ __signature__ __text_signature__ __annotations__
    __isabstractmethod__ __dataclass_fields__ __slots__ __mro__ __bases__ __subclasses__
    __instancecheck__ __subclasscheck__ __subclasshook__ __prepare__ __mro_entries__
    __class_getitem__ __init_subclass__ __set_name__ __get__ __set__ __delete__ __objclass__
    __del__ __sizeof__ __match_args__ __notes__ __traceback__ __cause__ __context__
    __rich_repr__ __rich__ __pretty__ __conform__ __json__ __structlog__ __test__ __main__
    _repr_html_ _repr_svg_ _repr_png_ _repr_jpeg_ _repr_latex_ _repr_json_ _repr_javascript_
    _repr_markdown_ _repr_pdf_ _repr_pretty_ _repr_mimebundle_ _ipython_display_
    _ipython_canary_method_should_not_exist_ _ipython_key_completions_
    _ipython_custom_completions_ _render_traceback_ _jupyter_mimebundle_
    _mgr _typ _constructor _metadata _nbrpc_oid_ _nbrpc_session_ _mock_methods _spec_class
""".split()  # noqa: SIM905 - a list of words

PAYLOAD = "import evil_payload"
"""What a hook gives to be run; the folder of that module is on the path of the client."""

used: list[str] = []


def _hook(name):
    def hook(self, *args, **kwargs):
        used.append(name)
        if name.startswith("__reduce"):
            return (exec, (PAYLOAD,))
        if name == "__fspath__":
            return "evil_payload.py"
        return f"<script>{PAYLOAD}</script>"

    return hook


NOT_AS_METHODS = frozenset(
    """__slots__ __mro__ __bases__ __subclasses__ __prepare__ __init_subclass__ __class_getitem__
    __set_name__ __del__ __traceback__ __cause__ __context__""".split()  # noqa: SIM905 - a list of words
)
"""What a class that has it as a method cannot even be made or raised with."""


def _claiming(name, base, hooks=frozenset(HOOKS) - NOT_AS_METHODS):
    """Make a class that claims hooks, and to be of a module that runs when it is imported."""
    hooks = {hook: _hook(hook) for hook in hooks}
    return type(name, (base,), {"__module__": "evil_payload", **hooks})


Thing = _claiming("Thing", object)
Reduced = _claiming("Reduced", object, {"__reduce_ex__"})
Items = _claiming("Items", list)
Table = _claiming("Table", dict)
Failure = _claiming("Failure", Exception)


class Hostile(nbrpc.Service):
    """Hands out such objects."""

    @nbrpc.exposed
    def thing(self):
        return Thing()

    @nbrpc.exposed
    def reduced(self):
        return Reduced()

    @nbrpc.exposed
    def items(self):
        return Items([3, 1, 2])

    @nbrpc.exposed
    def table(self):
        return Table(a=[1, 2], b=[3, 4])

    @nbrpc.exposed
    def function(self):
        def function(*args):
            """Look harmless.

            >>> import evil_payload
            """

        function.__module__ = "evil_payload"
        function.__wrapped__ = Thing()
        function.__signature__ = Thing()
        return function

    @nbrpc.exposed
    def cls(self):
        return Thing

    @nbrpc.exposed
    def fail(self):
        raise Failure(PAYLOAD)

    @nbrpc.exposed
    def used(self):
        found = " ".join(used)
        used.clear()
        return found


def serve_by_rpyc():
    """Serve the same by RPyC, with what a hostile server would allow itself."""
    import rpyc
    from rpyc.utils.server import ThreadedServer

    members = {f"exposed_{name}": vars(Hostile)[name] for name in vars(Hostile) if name[0] != "_"}
    config = {"allow_all_attrs": True, "allow_public_attrs": True, "allow_pickle": True}
    service = type("Hostile", (rpyc.Service,), members)
    server = ThreadedServer(service, hostname="127.0.0.1", port=0, protocol_config=config)
    server._listen()
    print(server.port, flush=True)
    server.start()


if __name__ == "__main__":
    if sys.argv[1:] == ["rpyc"]:
        serve_by_rpyc()
    access = {"allow_all_attrs": True, "allow_setattr": True, "allow_delattr": True}
    with nbrpc.serve(Hostile, config=access) as server:
        print(server.url_with_token, flush=True)
        server.start()
