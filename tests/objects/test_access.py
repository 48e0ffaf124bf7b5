"""A peer reaches what is exposed and handed over, and no more."""

from __future__ import annotations

import array
import collections
import ctypes
import inspect
import io
import re
import sys
import threading
import time
import types
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbrpc.errors import AccessDenied
from nbrpc.objects import access as access_module
from nbrpc.objects.access import Policy, Right, exposed, restricted
from nbrpc.objects.exposure import WITHOUT_PUBLIC_NAMES
from nbrpc.options import CODE_ACCESS, SAFE_ATTRIBUTES, Access
from tests.objects.traps import trap, trap_class

DEFAULT = Access()
PUBLIC = Access(allow_public_attrs=True)
PUBLIC_WRITE = Access(allow_public_attrs=True, allow_setattr=True, allow_delattr=True)


class Event:
    """Stands for the declaration of an event."""

    __nbrpc_event__ = True


class Files:
    """A service."""

    changed = Event()
    _internal = Event()
    exposed_limit = 10

    def __init__(self):
        self.exposed_path = "/tmp"
        self.plain = "plain"
        self._value = 1

    def exposed_add(self, a, b):
        return a + b

    @exposed
    def size(self):
        return 5

    def secret(self):
        return "secret"

    @exposed
    @property
    def voltage(self):
        return self._value

    @voltage.setter
    def voltage(self, value):
        self._value = value

    @exposed
    @property
    def reading(self):
        return 3.5

    @property
    def exposed_level(self):
        return self._value

    @exposed_level.setter
    def exposed_level(self, value):
        self._value = value

    @property
    def hidden(self):
        return 1

    @hidden.setter
    def hidden(self, value):
        raise AssertionError

    @exposed
    class Inner:
        """Exposed, with a member of its own."""

        exposed_x = 1
        y = 2

        @exposed
        @staticmethod
        def make():
            return 3

    class Private:
        """Not exposed."""


@pytest.fixture
def files():
    """Give an object to reach into."""
    return Files()


@pytest.fixture
def policy():
    """Give the policy of a plain service."""
    return Policy(DEFAULT)


# ---- exposed names


def test_exposed_names_resolve(policy, files):
    """The prefix may be left out, marks keep their name, events are open, instances may add."""
    for _ in range(2):  # the second time from memory
        for name, real in {
            "add": "exposed_add",
            "exposed_add": "exposed_add",
            "limit": "exposed_limit",
            "path": "exposed_path",
            "exposed_path": "exposed_path",
            "size": "size",
            "exposed_size": "size",
            "voltage": "voltage",
            "level": "exposed_level",
            "changed": "changed",
            "Inner": "Inner",
            "__len__": "__len__",
        }.items():
            assert policy.resolve(files, name, Right.READ) == real
    assert policy.read(files, "add")(1, 2) == 3
    assert policy.read(files, "path") == "/tmp"
    assert policy.read(files, "exposed_size")() == 5


@pytest.mark.parametrize(
    "name",
    [
        "secret",
        "plain",
        "hidden",
        "_value",
        "_internal",
        "Private",
        "missing",
        "",
        "exposed",
        "a b",
        "__class__",
        "__dict__",
        "__init__",
        "__globals__",
        "__reduce_ex__",
        "__subclasshook__",
        "__getattribute__",
        "__module__",
        "__weakref__",
        "_rpyc_getattr",
        "\x00",
        "\xe9",
        "\ud800",
    ],
    ids=ascii,
)
@pytest.mark.parametrize("right", Right)
def test_everything_else_is_denied(policy, files, name, right):
    """Whether it exists or not, the answer is AccessDenied, an AttributeError."""
    with pytest.raises(AccessDenied) as denied:
        policy.resolve(files, name, right)
    assert isinstance(denied.value, AttributeError)


class Sly(str):
    """A name that lies about itself."""

    __slots__ = ()
    __eq__ = trap
    __hash__ = trap
    startswith = trap


@pytest.mark.parametrize("name", [None, 3, b"add", ("add",), ["add"], Sly("add")], ids=repr)
def test_names_are_str(policy, files, name):
    """Any other kind of name is denied before anything is done with it."""
    for operation in (
        lambda: policy.resolve(files, name, Right.READ),
        lambda: policy.read(files, name),
        lambda: policy.write(files, name, 1),
        lambda: policy.delete(files, name),
        lambda: policy.special(files, name),
    ):
        with pytest.raises(AccessDenied, match="must be a str"):
            operation()


def test_an_instance_attribute_does_not_poison_the_memory(policy):
    """What one object adds is not open on another of its class."""
    generous, plain = Files(), Files()
    generous.exposed_extra = 1
    assert policy.read(generous, "extra") == 1
    with pytest.raises(AccessDenied):
        policy.resolve(plain, "extra", Right.READ)
    assert policy.read(generous, "extra") == 1
    del generous.exposed_extra
    with pytest.raises(AccessDenied):
        policy.resolve(generous, "extra", Right.READ)


def test_an_instance_attribute_shadows_by_rpycs_rule():
    """Where plain names are open, one of the object wins over the exposed one of its class."""
    policy = Policy(PUBLIC)
    shadowed, plain = Files(), Files()
    shadowed.add = "mine"
    for _ in range(2):
        assert policy.resolve(plain, "add", Right.READ) == "exposed_add"
        assert policy.resolve(shadowed, "add", Right.READ) == "add"
    plain.exposed_extra = 2
    assert policy.resolve(plain, "extra", Right.READ) == "exposed_extra"
    plain.extra = 3
    assert policy.resolve(plain, "extra", Right.READ) == "extra"


def test_a_mark_in_an_instance_is_none(policy, files):
    """A marked function that an object merely holds is not exposed by that."""

    @exposed
    def helper():
        """Do nothing."""

    files.helper = helper
    with pytest.raises(AccessDenied):
        policy.resolve(files, "helper", Right.READ)


def test_marks_win_over_the_prefix(policy):
    """With a marked member and a prefixed one of the same name, the exact name is meant."""

    class Both:
        exposed_x = "prefixed"

        @exposed
        def x(self):
            return "marked"

    assert policy.read(Both(), "x")() == "marked"
    assert policy.read(Both(), "exposed_x") == "prefixed"


def test_exposing_can_be_off_or_by_mark_only():
    """allow_exposed_attrs closes prefix and marks; an empty prefix leaves the marks."""
    closed = Policy(replace(DEFAULT, allow_exposed_attrs=False))
    for name in ("add", "exposed_add", "size", "changed"):
        with pytest.raises(AccessDenied, match="not open to the peer"):
            closed.resolve(Files(), name, Right.READ)
    marks = Policy(replace(DEFAULT, exposed_prefix=""))
    assert marks.resolve(Files(), "size", Right.READ) == "size"
    assert marks.visible(Files()) == ["Inner", "changed", "reading", "size", "voltage"]
    for name in ("add", "exposed_add", "secret", "__class__"):
        with pytest.raises(AccessDenied):
            marks.resolve(Files(), name, Right.READ)


def test_a_prefix_of_ones_own():
    """exposed_prefix is honoured."""

    class Custom:
        pub_x = 1
        exposed_y = 2

    policy = Policy(replace(DEFAULT, exposed_prefix="pub_"))
    assert policy.read(Custom(), "x") == 1
    with pytest.raises(AccessDenied, match="name it pub_y"):
        policy.read(Custom(), "y")


def test_getattr_can_be_off():
    """allow_getattr=False closes reading altogether."""
    policy = Policy(replace(DEFAULT, allow_getattr=False))
    with pytest.raises(AccessDenied, match="allows no attribute access"):
        policy.read(Files(), "add")


def test_safe_attributes_can_be_off():
    """allow_safe_attrs=False closes special methods; calling what was handed over stays."""
    policy = Policy(replace(DEFAULT, allow_safe_attrs=False))
    with pytest.raises(AccessDenied):
        policy.special([1], "__len__")
    with pytest.raises(AccessDenied):
        policy.resolve([1], "__len__", Right.READ)
    assert policy.special(len, "__call__")([1]) == 1


def test_a_class_that_makes_up_names(policy):
    """Its ``__getattr__`` is asked for the prefixed name, and for no hidden one."""
    asked = []

    class Dynamic:
        secret = 1

        def __getattr__(self, name):
            asked.append(name)
            if name == "exposed_x":
                return "made up"
            raise AttributeError(name)

    dynamic = Dynamic()
    dynamic.own = 2
    assert policy.read(dynamic, "x") == "made up"
    assert asked == ["exposed_x"]
    with pytest.raises(AttributeError):
        policy.read(dynamic, "y")
    for hidden in ("secret", "own"):
        with pytest.raises(AccessDenied):
            policy.read(dynamic, hidden)
    assert asked == ["exposed_x", "exposed_y"]


# ---- writing and deleting


def test_an_exposed_property_with_a_setter_can_be_set(policy, files):
    """By its mark or by its prefix, without allow_setattr; nothing else can."""
    policy.write(files, "voltage", 2.5)
    assert files._value == 2.5
    policy.write(files, "exposed_voltage", 2.6)
    assert files._value == 2.6
    policy.write(files, "level", 7)
    assert files._value == 7
    policy.write(files, "exposed_level", 8)
    assert files._value == 8
    for name in ("reading", "hidden", "limit", "path", "exposed_path", "size", "new", "__len__"):
        with pytest.raises(AccessDenied, match="only an exposed property with a setter"):
            policy.write(files, name, 1)
    with pytest.raises(AccessDenied, match="cannot be deleted"):
        policy.delete(files, "voltage")


@pytest.mark.parametrize("name", ["voltage", "exposed_voltage", "level", "exposed_level"])
def test_a_property_of_a_class_cannot_be_replaced(policy, name):
    """To set it on the class itself would take it from all its objects."""
    with pytest.raises(AccessDenied):
        policy.write(Files, name, 3)
    assert type(vars(Files)["voltage"]) is type(vars(Files)["exposed_level"]) is property


def test_writing_where_it_is_allowed(files):
    """With allow_setattr the rules of reading hold, but for special methods and container ones."""
    policy = Policy(replace(DEFAULT, allow_setattr=True, allow_delattr=True))
    policy.write(files, "path", "/new")
    assert files.exposed_path == "/new"
    policy.delete(files, "path")
    assert not hasattr(files, "exposed_path")
    for name in ("secret", "plain", "__len__", "__class__", "__doc__", "__eq__"):
        with pytest.raises(AccessDenied):
            policy.write(files, name, 1)
        with pytest.raises(AccessDenied):
            policy.delete(files, name)
    with pytest.raises(AccessDenied):
        policy.resolve([], "append", Right.WRITE)
    public = Policy(PUBLIC_WRITE)
    public.write(files, "plain", 5)
    assert files.plain == 5
    public.delete(files, "plain")
    public.write(files, "limit", 4)
    assert files.exposed_limit == 4
    with pytest.raises(AccessDenied):
        public.write(files, "__class__", Event)
    with pytest.raises(AccessDenied):
        public.write(Files.Inner, "__eq__", trap)


# ---- hooks and restricted views


class Hooked:
    """Decides by itself."""

    def __init__(self):
        self.log = []

    def __len__(self):
        return 4

    def __call__(self):
        return "called"

    def _rpyc_getattr(self, name):
        if name in {"ok", "sys"}:
            return sys if name == "sys" else "fine"
        raise AttributeError(name)

    def _rpyc_setattr(self, name, value):
        self.log.append((name, value))

    def _rpyc_delattr(self, name):
        self.log.append(name)


def test_hooks_replace_the_policy(policy):
    """RPyC's hooks of the class are asked for everything, save that modules stay closed."""
    hooked = Hooked()
    assert policy.read(hooked, "ok") == "fine"
    with pytest.raises(AttributeError):
        policy.read(hooked, "log")
    policy.write(hooked, "x", 1)
    policy.delete(hooked, "y")
    assert hooked.log == [("x", 1), "y"]
    with pytest.raises(AccessDenied, match="is a module"):
        policy.read(hooked, "sys")
    assert policy.special(hooked, "__call__")() == "called"
    assert policy.special(hooked, "__repr__")() == repr(hooked)
    with pytest.raises(AttributeError):
        policy.special(hooked, "__len__")


def test_a_hook_of_an_instance_is_none(policy, files):
    """Hooks count on the class only."""
    files._rpyc_getattr = trap
    assert policy.read(files, "size")() == 5


@pytest.mark.parametrize(
    "rights", [DEFAULT, PUBLIC_WRITE, CODE_ACCESS], ids=["service", "public", "code"]
)
def test_restricted_holds_under_every_policy(rights, files):
    """A restricted view gives what it names and nothing else, even where all is allowed."""
    policy = Policy(rights)
    view = restricted(files, {"secret", "__len__"}, {"plain"})
    assert policy.read(view, "secret")() == "secret"
    policy.write(view, "plain", 9)
    assert files.plain == 9
    assert policy.visible(view) == ["__len__", "secret"]
    for name in ("add", "plain", "_Restricted__target", "__class__", "__init__", "_rpyc_getattr"):
        with pytest.raises(AccessDenied):
            policy.read(view, name)
    with pytest.raises(AccessDenied):
        policy.write(view, "secret", 1)
    with pytest.raises(AccessDenied):
        policy.delete(view, "plain")
    with pytest.raises(AccessDenied):
        policy.special(view, "__call__")
    assert policy.special(view, "__repr__")() == "<restricted view of a Files>"
    listed = restricted([1, 2], {"__len__"})
    assert policy.special(listed, "__len__")() == 2
    with pytest.raises(AccessDenied):
        policy.special(listed, "__getitem__")


# ---- classes, modules, containers


def test_exposed_classes(policy, files):
    """An exposed nested class can be called, and its own exposed members are reached."""
    inner = policy.read(files, "Inner")
    assert policy.special(inner, "__call__")().exposed_x == 1
    assert policy.read(inner, "x") == 1
    assert policy.read(inner, "make")() == 3
    assert policy.visible(inner) == ["make", "x"]
    for name in ("y", "mro", "__mro__", "__subclasses__", "__bases__", "__dict__"):
        with pytest.raises(AccessDenied):
            policy.read(inner, name)


def test_what_a_metaclass_defines_is_no_member_of_the_class():
    """Public names of a class are those of its body and bases; ``mro`` is not among them."""
    policy = Policy(PUBLIC)
    assert policy.read(Files.Inner, "y") == 2
    assert policy.read(Files.Inner, "x") == 1
    assert "mro" not in policy.visible(Files.Inner)
    for name in ("mro", "register"):
        with pytest.raises(AccessDenied):
            policy.read(collections.abc.Sized if name == "register" else Files.Inner, name)
    with pytest.raises(AttributeError):
        policy.read(Files.Inner, "nothing")


def test_a_module_that_is_served(policy):
    """Of a module that was handed over, exposed functions are open and nothing else."""
    module = types.ModuleType("served")
    exec(
        "import os\nfrom nbrpc.objects.access import exposed\n@exposed\ndef go(): return 1\n"
        "def exposed_run(): return 2\ndef hidden(): pass\nclass Plain: pass\n"
        "@exposed\nclass Open: pass\ndef __getattr__(name): raise AssertionError\n",
        module.__dict__,
    )
    module.__dict__[3] = "no name"
    assert policy.visible(module) == ["Open", "go", "run"]
    assert policy.read(module, "go")() == 1
    assert policy.read(module, "run")() == 2
    for rights in (DEFAULT, PUBLIC):
        for name in ("os", "hidden", "Plain", "exposed", "__builtins__", "__dict__"):
            with pytest.raises(AccessDenied):
                Policy(rights).read(module, name)


@pytest.mark.parametrize(
    ("container", "name", "args", "expected"),
    [
        ([3, 1], "index", (1,), 1),
        ({"a": 1}, "get", ("a",), 1),
        ({"a": 1}.items(), "isdisjoint", ((),), True),
        ({1}, "union", ({2},), {1, 2}),
        (frozenset({1}), "union", ({2},), {1, 2}),
        ((1, 2), "count", (1,), 1),
        (bytearray(b"ab"), "hex", (), "6162"),
        (collections.deque([1]), "count", (1,), 1),
        (collections.defaultdict(list), "keys", (), {}.keys()),
        (collections.OrderedDict(a=1), "popitem", (), ("a", 1)),
        (collections.OrderedDict(a=1).keys(), "isdisjoint", ((),), True),
        (collections.Counter("aab"), "most_common", (1,), [("a", 2)]),
        (array.array("i", [1]), "tolist", (), [1]),
        (types.MappingProxyType({"a": 1}), "get", ("a",), 1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_containers_are_open(policy, container, name, args, expected):
    """The public methods of builtin containers work on what was handed over."""
    assert policy.read(container, name)(*args) == expected
    assert name in policy.visible(container)


def test_what_is_not_a_method_of_a_container(policy):
    """Neither factories, addresses nor the classes themselves are open by that."""

    class Own(list):
        pass

    for obj, name in (
        (collections.defaultdict(list), "default_factory"),
        (array.array("i"), "buffer_info"),
        (Own(), "append"),
        (list, "append"),
        ({}.keys(), "mapping"),
    ):
        with pytest.raises(AccessDenied):
            policy.resolve(obj, name, Right.READ)
    assert policy.read(collections.deque(maxlen=3), "maxlen") == 3


# ---- the matrix


def frame():
    """Give a frame."""
    return inspect.currentframe()


def caught():
    """Give an exception with a traceback."""
    try:
        raise ValueError("x")
    except ValueError as error:
        return error


async def coroutine():
    """Do nothing."""


async def agen():
    """Give nothing."""
    yield


class Text(str):
    """A str of the author's own."""

    __slots__ = ()


def specimens():
    """Give objects of the types that an exploit would look for."""
    waiting = coroutine()
    yield waiting
    waiting.close()
    yield from (
        (lambda: 1),
        Files().secret,
        Files.secret,
        len,
        [].append,
        list.append,
        "".__len__,
        str.__len__,
        (x for x in ()),
        agen(),
        frame(),
        frame().f_code,
        caught().__traceback__,
        caught(),
        sys,
        types,
        type,
        int,
        Files,
        Files.__dict__["voltage"],
        Files.Inner.__dict__["make"],
        Files.__dict__,
        types.SimpleNamespace(f_globals=1, gi_frame=2),
        threading.Lock(),
        io.StringIO(),
        re.match("a", "a"),
        re.compile("a"),
        ctypes.c_int(3),
        iter([]),
        zip(),
        memoryview(b""),
        object(),
        super(Files, Files()),
        types.FunctionType.__dict__["__code__"],
        types.FunctionType.__dict__["__globals__"],
        property(),
        classmethod(len),
        slice(1),
        Text("{0.__class__}"),
        Text,
        Ellipsis,
        NotImplemented,
        types.GenericAlias(list, (int,)),
        sys.implementation,
        sys.flags,
    )


FORBIDDEN = re.compile(
    r"(gi|cr|ag|f|tb|co|func|im)_|__|_|mro$|fget|fset|fdel|getter|setter|deleter"
)


def open_names(policy, obj):
    """Give every name that can be thought of and is open for reading."""
    names = {*dir(obj), *dir(type(obj)), *sys.__dict__, "gi_frame", "f_globals", "mro", "format"}
    for name in names:
        try:
            real = policy.resolve(obj, name, Right.READ)
        except AccessDenied:
            continue
        yield name, real


def test_a_service_opens_nothing_of_what_it_did_not_expose(policy):
    """On any object that was handed over, only safe special methods are open by name.

    A generator can be sent to and closed by whom it was made for.
    """
    for obj in specimens():
        if type(obj) is types.MappingProxyType:
            continue  # a container: its methods are open
        exposed_of_files = {"x", "add", "limit", "size", "voltage", "reading", "level", "Inner"}
        allowed = SAFE_ATTRIBUTES | exposed_of_files | {"changed", "exposed_add", "exposed_limit"}
        if type(obj) is types.GeneratorType:
            allowed |= {"close", "send"}
        for name, _real in open_names(policy, obj):
            assert name in allowed or name == "exposed_level", (obj, name)


def test_public_mode_opens_no_machinery():
    """allow_public_attrs gives no way to frames, globals, code, modules or metaclasses."""
    policy = Policy(PUBLIC)
    for obj in specimens():
        for name, _real in open_names(policy, obj):
            try:
                value = policy.read(obj, name)
            except AttributeError:
                continue
            assert name in SAFE_ATTRIBUTES or not FORBIDDEN.match(name), (obj, name)
            if isinstance(obj, WITHOUT_PUBLIC_NAMES):
                is_end = type(obj) is types.GeneratorType and name in {"close", "send"}
                assert is_end or name in SAFE_ATTRIBUTES, (obj, name)
            assert not isinstance(value, access_module.REFUSED_RESULTS), (obj, name)
    for name in ("format", "format_map"):
        for text in (Text("{0.__class__}"), Text):
            with pytest.raises(AccessDenied):
                policy.resolve(text, name, Right.READ)
    assert policy.read(Text("a"), "upper")() == "A"


def test_modules_frames_and_the_like_are_no_results(files):
    """An attribute that is one is refused, and not shown, unless code is allowed."""
    files.module = sys
    files.exposed_frame = frame()
    files.code = frame.__code__
    files.trace = caught().__traceback__
    policy = Policy(PUBLIC)
    for name in ("module", "frame", "code", "trace"):
        with pytest.raises(AccessDenied, match="allow_code"):
            policy.read(files, name)
        assert name not in policy.visible(files)
    everything = Policy(CODE_ACCESS)
    assert everything.read(files, "module") is sys
    assert "module" in everything.visible(files)


# ---- everything allowed


@pytest.mark.parametrize(
    "rights", [CODE_ACCESS, Access(allow_code=True)], ids=["classic", "allow_code alone"]
)
def test_where_code_may_run_all_names_are_open(rights, files):
    """Nothing is hidden from a peer that may run code anyway."""
    policy = Policy(rights)
    assert policy.read(files, "secret")() == "secret"
    assert policy.read(files, "add")(1, 1) == 2
    assert policy.read(files, "__class__") is Files
    assert policy.read(sys, "modules") is sys.modules
    assert policy.read(Files.Inner, "mro")()[-1] is object
    assert policy.special(files, "__sizeof__")() > 0
    policy.write(files, "anything", 1)
    assert policy.read(files, "anything") == 1
    policy.delete(files, "anything")
    with pytest.raises(AttributeError) as missing:
        policy.read(files, "anything")
    assert not isinstance(missing.value, AccessDenied)
    with pytest.raises(AccessDenied):
        policy.special(files, "secret")


def test_all_names_without_writing(files):
    """allow_all_attrs opens names; the switches for setting and deleting still hold."""
    policy = Policy(Access(allow_all_attrs=True))
    assert policy.read(files, "_value") == 1
    with pytest.raises(AccessDenied):
        policy.write(files, "_value", 2)
    with pytest.raises(AccessDenied):
        policy.delete(files, "_value")


# ---- special methods


def test_special_methods_are_bound(policy):
    """They are those of the class, whatever the instance holds."""

    class Sized:
        def __len__(self):
            return 3

    sized = Sized()
    sized.__len__ = trap
    assert policy.special(sized, "__len__")() == 3
    assert policy.special([5], "__getitem__")(0) == 5
    assert policy.special(int, "__call__")("3") == 3
    assert policy.special(Files, "__repr__")() == repr(Files)


@pytest.mark.parametrize(
    ("name", "use"),
    [
        ("__len__", len),
        ("__iter__", iter),
        ("__next__", next),
        ("__reversed__", reversed),
        ("__call__", lambda obj: obj()),
        ("__getitem__", lambda obj: obj[0]),
        ("__setitem__", lambda obj: exec("obj[0] = 1", {"obj": obj})),
        ("__delitem__", lambda obj: exec("del obj[0]", {"obj": obj})),
        ("__index__", lambda obj: [][obj:]),
        ("__float__", float),
        ("__int__", int),
        ("__contains__", lambda obj: 1 in obj),
        ("__hash__", hash),
    ],
)
def test_what_a_class_lacks_is_told_as_python_does(policy, name, use):
    """The TypeError reads as the one that Python raises for the operation itself."""

    class Bare:
        __hash__ = None

    with pytest.raises(TypeError) as ours:
        policy.special(Bare(), name)
    with pytest.raises(TypeError) as pythons:
        use(Bare())
    expected = str(pythons.value)
    if name != "__index__":  # slicing says more
        expected = re.sub(r"^.*?(?='Bare' object is not reversible)", "", expected)
        assert str(ours.value) == expected
    with pytest.raises(TypeError, match="does not support __add__"):
        policy.special(Bare(), "__add__")
    with pytest.raises(TypeError, match=r"does not support __\{0.__class__\}__$"):
        Policy(CODE_ACCESS).special(Bare(), "__{0.__class__}__")  # a name is no template


@pytest.mark.parametrize(
    "name",
    ["__class__", "__init__", "__reduce__", "__getattribute__", "__setattr__", "append", "__dir__"],
)
def test_other_special_methods_are_denied(policy, name):
    """A service opens the safe ones only, whatever the object."""
    with pytest.raises(AccessDenied, match="may not use"):
        policy.special([], name)


# ---- what is seen, and what is run


def test_visible(files):
    """Names are listed as the peer spells them; special methods are not names."""
    service = ["Inner", "add", "changed", "level", "limit", "path", "reading", "size", "voltage"]
    assert Policy(DEFAULT).visible(files) == service
    public = Policy(PUBLIC).visible(files)
    assert {"secret", "plain", "hidden", "Private", *service} == set(public)
    code = Policy(CODE_ACCESS).visible(files)
    assert {"_value", "__init__", "secret", *service} <= set(code)
    files.__dict__[3] = files.__dict__["exposed_"] = 1
    assert Policy(DEFAULT).visible(files) == service


def test_a_plain_name_hides_the_exposed_one_where_it_is_open():
    """The list names what resolve gives."""

    class Both:
        x = 1

        def exposed_x(self):
            """Do nothing."""

    assert Policy(DEFAULT).members(Both())["x"] is Both.exposed_x
    assert Policy(PUBLIC).members(Both())["x"] == 1


@pytest.mark.parametrize(
    "rights", [DEFAULT, PUBLIC, CODE_ACCESS], ids=["service", "public", "code"]
)
def test_looking_runs_no_code(rights):
    """Both resolve and visible pass objects and metaclasses of which every hook raises."""
    policy = Policy(rights)
    trapped = trap_class()
    for obj in (trapped(), trapped):
        assert {"computed", "descriptor", "method"} <= set(policy.visible(obj))
        assert policy.resolve(obj, "method", Right.READ) == "exposed_method"
        for name in ("field", "nothing", "__class__", "__eq__", "computed"):
            for right in Right:
                try:
                    policy.resolve(obj, name, right)
                except AccessDenied:
                    pass


def test_what_is_visible_can_be_resolved(files):
    """Every listed name resolves, to something that is there."""
    for rights in (DEFAULT, PUBLIC, CODE_ACCESS):
        policy = Policy(rights)
        for obj in (files, Files, Files.Inner, [], {}, sys, collections.Counter()):
            for name in policy.visible(obj):
                real = policy.resolve(obj, name, Right.READ)
                assert inspect.getattr_static(obj, real, trap) is not trap


@given(st.text(max_size=30), st.sampled_from(list(Right)))
def test_any_name_is_answered(name, right):
    """A name from the wire gives the real name or AccessDenied, and nothing else happens."""
    for rights in (DEFAULT, PUBLIC):
        for obj in (Files(), [], Files, sys, frame()):
            try:
                real = Policy(rights).resolve(obj, name, right)
            except AccessDenied as denied:
                message = str(denied)
                assert len(message) < 400
            else:
                assert name in real or real in name


# ---- methods


def test_methods_are_remembered(policy):
    """How results travel and whether a cancel may strike is told each time, as at first."""

    class Meter:
        exposed_twin = exposed_size = lambda self: 1

        @exposed(by_value=True)
        def table(self):
            return []

    class Whole(Meter):
        __nbrpc_by_value__ = True
        __nbrpc_interruptible__ = False

    for _ in range(2):
        function, by_value, interruptible = policy.method(Meter(), "table")
        assert (function(), by_value, interruptible) == ([], True, True)
        assert policy.method(Meter(), "size")[1:] == (None, True)
        assert policy.method(Whole(), "size")[1:] == (True, False)
        with pytest.raises(AccessDenied):
            policy.method(Meter(), "secret")
    # Of a class, and of what an instance has, nothing is kept that would hold for others.
    assert policy.method(Meter, "table")[1:] == (True, True)
    meter = Meter()
    meter.exposed_own = len
    assert policy.method(meter, "own")[0] is len
    public = Policy(PUBLIC)
    assert public.method(Meter(), "twin")[0]() == 1
    meter.twin = len
    assert public.method(meter, "twin")[0] is len
    assert policy.is_hooked(restricted([], ()))
    assert not policy.is_hooked(meter)


def test_an_instance_dictionary_of_ones_own(policy):
    """A dictionary that brings its own lookup is read as a plain one."""

    class Lookup(dict):
        __contains__ = __getitem__ = items = trap

    class Loose:
        """Has one."""

    loose = Loose()
    loose.__dict__ = Lookup(exposed_x=3)
    assert policy.resolve(loose, "x", Right.READ) == "exposed_x"
    assert policy.visible(loose) == ["x"]


# ---- messages and bounds


def test_a_name_that_is_nearly_right(policy, files):
    """What was probably meant is named, if the peer may reach it; a search has bounds."""
    for right in (policy.write, policy.delete):
        arguments = (1,) if right == policy.write else ()
        with pytest.raises(AccessDenied, match="is not exposed; did you mean 'voltage'"):
            right(files, "voltag", *arguments)

    class Plain:
        def __init__(self):
            self.position = 1
            self._token = 2

    public = Policy(PUBLIC)
    with pytest.raises(AttributeError) as raised:
        public.read(Plain(), "positoin")
    assert str(raised.value) == (
        "'Plain' object has no attribute 'positoin'; did you mean 'position'?"
    )
    with pytest.raises(AttributeError) as hidden:
        public.read(Plain(), "token")
    assert "mean" not in str(hidden.value)
    with pytest.raises(AccessDenied) as private:
        public.read(Plain(), "_tokn")
    assert "mean" not in str(private.value)

    class Many:
        def __init__(self):
            for i in range(100_000):
                setattr(self, f"position_{i:06}", i)

    many = Many()
    begun = time.process_time()
    for _ in range(100):
        with pytest.raises(AttributeError):
            public.read(many, "positoin_0000001")
    assert time.process_time() - begun < 2.0, "they are not even sorted"


def test_messages(policy, files):
    """A denial says what is not exposed, where, and what to do."""
    with pytest.raises(AccessDenied) as denied:
        policy.read(files, "secret")
    assert str(denied.value) == (
        "'secret' of Files is not exposed: mark it with @nbrpc.exposed or name it exposed_secret"
    )
    assert denied.value.name == "secret"
    with pytest.raises(AccessDenied, match="did you mean 'voltage'"):
        policy.read(files, "volatge")
    with pytest.raises(AccessDenied, match="of Inner is not exposed"):
        policy.read(Files.Inner, "y")
    with pytest.raises(AccessDenied) as odd:
        policy.read(files, "\x1b]0;evil\x07\u202e" + "x" * 500)
    assert str(odd.value).isprintable()
    assert len(str(odd.value)) < 400
    assert "name it" not in str(odd.value)


def test_memory_is_bounded(monkeypatch):
    """Neither classes nor names that peers or objects bring can grow what is remembered."""
    monkeypatch.setattr(access_module, "MAX_CLASSES", 8)
    monkeypatch.setattr("nbrpc.objects.shapes.MAX_BORNE", 8)
    policy = Policy(PUBLIC)
    for number in range(50):
        cls = type(f"C{number}", (), {"exposed_x": number})
        assert policy.read(cls(), "x") == number
        assert policy.read(cls, "x") == number
    assert len(policy._shapes) <= 8
    assert len(policy._classes) <= 8
    files = Files()
    for number in range(50):
        setattr(files, f"own{number}", number)
        assert policy.read(files, f"own{number}") == number
        with pytest.raises(AttributeError):
            policy.read(files, f"none{number}")
        with pytest.raises(AttributeError):
            policy.read(files, f"exposed_none{number}")
    shape = policy._shape_of(files)
    assert len(shape.borne) <= 8
    assert len(shape.reads) + len(shape.twins) < 30


def test_threads_may_share_a_policy(files):
    """Many threads asking at once, while memory is cleared, get right answers."""
    policy = Policy(DEFAULT)
    wrong = []
    ready = threading.Barrier(4)

    def ask():
        ready.wait()
        for _ in range(2_000):
            policy._shapes.clear()
            if policy.resolve(files, "add", Right.READ) != "exposed_add":
                wrong.append(1)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
