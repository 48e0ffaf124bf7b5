"""A proxy asks the peer for what the peer has, and answers all else by itself."""

from __future__ import annotations

import array
import copy
import inspect
import json
import logging
import os
import pickle
import reprlib
import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from IPython.core.formatters import DisplayFormatter

from nbrpc.errors import AccessDenied, ConnectionLost, NotSendable
from nbrpc.objects.mimicry import MIMICKED
from nbrpc.objects.proxy import Member, Proxy, is_proxy, resolve, target_of
from nbrpc.objects.proxy_classes import make_proxy, proxy_class
from nbrpc.objects.specials import SPECIALS
from nbrpc.protocol.codec import Ref
from nbrpc.protocol.messages import Operation
from tests.objects.fake import describe, proxy_of
from tests.strategies import names

# ---- attributes


def test_reading_an_attribute_is_one_request():
    """What the description does not mark as constant is read at once."""
    proxy, caller = proxy_of({Operation.GET: 7}, members={"speed": "property"})
    assert proxy.speed == 7
    assert proxy.other == 7
    assert caller.asked == [("GET", 5, "speed", (), None), ("GET", 5, "other", (), None)]


def test_hasattr_tells_the_truth():
    """An attribute that the peer refuses is none."""
    proxy, _ = proxy_of({Operation.GET: AccessDenied("no")})
    assert not hasattr(proxy, "secret")
    assert getattr(proxy, "secret", "default") == "default"


def test_calling_a_method_is_one_request():
    """Methods of a described class are called without being read first."""
    proxy, caller = proxy_of({Operation.CALL: "done"}, members={"move": "method"})
    assert hasattr(proxy, "move")
    assert caller.asked == []
    assert proxy.move(1, to=2) == "done"
    assert proxy.move() == "done"
    assert caller.asked == [("CALL", 5, "move", (1,), {"to": 2}), ("CALL", 5, "move", (), None)]


def test_methods_belong_to_their_object():
    """A method of one proxy never asks for another object of the same class."""
    first, caller = proxy_of(members={"move": "method"})
    second = make_proxy(type(first), caller, Ref(6, 1), first._nbrpc_description_)
    move = first.move
    second.move()
    move()
    assert [asked[1] for asked in caller.asked] == [6, 5]


def test_writing_and_deleting_are_one_request():
    """Each is asked of the peer, which decides."""
    proxy, caller = proxy_of()
    proxy.speed = 3
    del proxy.speed
    assert caller.asked == [("SET", 5, "speed", (3,), None), ("DELETE", 5, "speed", (), None)]


@pytest.mark.parametrize(
    "name", ["__class__", "__dict__", "__foo__", "_ipython_display_", "_nbrpc_oid_", "_repr_html_"]
)
def test_names_of_python_and_ipython_are_not_written(name):
    """Neither setting nor deleting them leaves this process."""
    proxy, caller = proxy_of()
    with pytest.raises(AttributeError, match="cannot be set on a proxy"):
        setattr(proxy, name, 1)
    with pytest.raises(AttributeError, match="cannot be deleted from a proxy"):
        delattr(proxy, name)
    assert caller.asked == []


def test_events_come_from_the_session():
    """An event is an object of this side."""
    proxy, caller = proxy_of(members={"changed": "event"})
    assert proxy.changed == ("event", proxy, "changed")
    assert caller.asked == []


def test_dir_gives_members_and_names_of_the_instance():
    """Names that are no text, and a dead connection, do no harm."""
    proxy, caller = proxy_of({Operation.NAMES: ["b", 7, None]}, members={"a": "method"})
    assert dir(proxy) == ["a", "b"]
    caller.answers[Operation.NAMES] = ConnectionLost("gone")
    assert dir(proxy) == ["a"]


def test_the_docstring_is_that_of_the_class():
    """The first line is in the description."""
    proxy, caller = proxy_of()
    assert proxy.__doc__ == "A stage."
    assert caller.asked == []


def test_the_docstring_of_a_function_is_asked_for():
    """help() of a function shows all of it."""
    proxy, caller = proxy_of({Operation.DESCRIBE: {"doc": "All of it."}}, kind="function")
    assert proxy.__doc__ == "All of it."
    caller.answers[Operation.DESCRIBE] = {"doc": 7}
    assert proxy.__doc__ is None


# ---- texts


def test_repr_and_str_are_asked_for():
    """repr() is free of control sequences, and so are its lines."""
    proxy, caller = proxy_of({Operation.REPR: "<a \x1b]0;pwned\x07b>", Operation.STR: "text"})
    assert repr(proxy) == "<a b>"
    assert str(proxy) == f"{proxy}" == "text"
    assert [asked[0] for asked in caller.asked] == ["REPR", "STR", "STR"]


def test_a_format_is_applied_by_the_peer():
    """A specification is for the object."""
    proxy, caller = proxy_of({Operation.SPECIAL: "1.50"})
    assert f"{proxy:.2f}" == "1.50"
    assert caller.asked == [("SPECIAL", 5, "__format__", (".2f",), None)]


def test_a_proxy_of_a_lost_connection_says_so():
    """Displaying it does not raise."""
    proxy, _ = proxy_of(dict.fromkeys((Operation.REPR, Operation.STR), ConnectionLost("gone")))
    expected = "<proxy of lab.Stage; its connection to tcp://lab:1 is lost>"
    assert repr(proxy) == str(proxy) == expected


# ---- what stays local

PROBES = [
    copy.copy,
    copy.deepcopy,
    lambda proxy: copy.deepcopy({"k": [proxy]}),
    pickle.dumps,
    lambda proxy: pickle.dumps(proxy, 0),
    json.dumps,
    os.fspath,
    open,
    memoryview,
    bytes,
    lambda proxy: array.array("d", proxy),
    iter,
    len,
    int,
    float,
    complex,
    hash,
    callable,
    np.isscalar,
    lambda proxy: proxy.__array_interface__,
    lambda proxy: proxy.__array_struct__,
    lambda proxy: proxy.__dlpack__(),
    lambda proxy: proxy.__getstate__ and proxy.__setstate__,
    lambda proxy: proxy.__wrapped__,
    lambda proxy: proxy.__fspath__(),
    lambda proxy: proxy.__html__(),
    lambda proxy: proxy._repr_html_(),
    lambda proxy: proxy._ipython_display_(),
    lambda proxy: proxy._ipython_canary_method_should_not_exist_,
    inspect.isgenerator,
    inspect.iscoroutine,
    inspect.isawaitable,
    weakref.ref,
    id,
    lambda proxy: isinstance(proxy, dict),
    lambda proxy: issubclass(type(proxy), Proxy),
    lambda proxy: proxy == 1,
    lambda proxy: proxy in [1, proxy],
    bool,
    lambda proxy: {proxy: 1},
    lambda proxy: logging.LogRecord("x", 1, "x", 1, "%d", (proxy,), None),
]


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: getattr(probe, "__name__", "?"))
@pytest.mark.parametrize("claims", [False, True], ids=["plain", "claiming"])
def test_probes_stay_local(probe, claims):
    """What libraries probe for is never asked of the peer, whatever the peer claims to have."""
    claimed = """__copy__ __deepcopy__ __reduce__ __reduce_ex__ __getstate__ __setstate__
        __array_interface__ __array_struct__ __fspath__ __html__ __wrapped__
        __signature__ __await__ __del__ __get__ __set_name__ __class__ __dict__ __init_subclass__
        _repr_html_ _ipython_display_ _repr_mimebundle_ _nbrpc_oid_""".split()  # noqa: SIM905
    members = dict.fromkeys(claimed, "method") if claims else {}
    proxy, caller = proxy_of(members=members, specials=claimed if claims else ())
    try:
        probe(proxy)
    except (TypeError, AttributeError, ValueError):
        pass
    assert caller.asked == []


@pytest.mark.parametrize("make", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_proxy_is_not_copied_nor_pickled(make):
    """Each way says what gives a copy."""
    proxy, caller = proxy_of(members={"move": "method", "Inner": "class"})
    with pytest.raises(NotSendable, match=r"nbrpc\.obtain\(proxy\) gives a copy"):
        make(proxy)
    with pytest.raises(NotSendable, match="a remote method cannot be copied or pickled"):
        make(proxy.Inner)
    assert caller.asked == []


ARRAY = {"base": "numpy.ndarray", "name": "ndarray", "specials": ["__array__"]}


def test_an_array_of_a_proxy_is_one_request():
    """What numpy gets is a copy by value."""
    proxy, caller = proxy_of({Operation.OBTAIN: np.array([1, 2])}, **ARRAY)
    assert np.asarray(proxy).tolist() == [1, 2]
    assert np.asarray(proxy, "f4").dtype == "f4"
    assert np.array(proxy, copy=True).tolist() == [1, 2]
    assert [asked[0] for asked in caller.asked] == ["OBTAIN"] * 3
    with pytest.raises(ValueError, match="without a copy"):
        proxy.__array__(copy=False)


def test_a_peer_cannot_send_numpy_in_circles():
    """A proxy in place of a copy is refused."""
    proxy, caller = proxy_of(**ARRAY)
    caller.answers[Operation.OBTAIN] = proxy
    with pytest.raises(NotSendable, match="no exact copy"):
        np.asarray(proxy)
    assert len(caller.asked) == 1


def test_a_notebook_shows_the_repr_and_nothing_else():
    """No HTML of the peer, whatever it claims; one request."""
    claims = {"_repr_html_": "method", "_repr_png_": "method", "_ipython_display_": "method"}
    proxy, caller = proxy_of(
        {Operation.REPR: "<a\x1b[2J>", Operation.CALL: "<script>"}, members=claims
    )
    bundle, _ = DisplayFormatter().format(proxy)
    assert bundle["text/plain"] == "<a>"
    assert set(bundle) == {"text/plain"}
    assert {asked[0] for asked in caller.asked} == {"REPR"}


# ---- classes of proxies


@given(specials=st.sets(st.sampled_from(sorted(SPECIALS))))
def test_a_class_has_exactly_the_special_methods_that_are_described(specials):
    """len() works where it works there, and nowhere else."""
    cls = proxy_class(describe(specials=sorted(specials)), mimic=False)
    expected = set(specials)
    if expected & {"__iter__", "__aiter__"}:
        expected |= {"__iter__", "__aiter__"}
    if "__eq__" in expected:
        expected.add("__ne__")
    assert {name for name in SPECIALS if vars(cls).get(name) is not None} == expected
    assert not set(SPECIALS) & set(vars(Proxy))


def test_every_special_method_can_be_had():
    """Each name of the table gives the method of the table."""
    for name, method in SPECIALS.items():
        assert getattr(proxy_class(describe(specials=[name]), mimic=False), name) is method


def test_iterables_can_be_iterated_both_ways():
    """``for`` and ``async for`` work with either."""
    for name in ("__iter__", "__aiter__"):
        cls = proxy_class(describe(specials=[name]), mimic=False)
        assert hasattr(cls, "__iter__")
        assert hasattr(cls, "__aiter__")


def test_what_is_unhashable_there_is_unhashable_here():
    """A class with an equality of its own and no hash has none here either, without asking."""
    proxy, caller = proxy_of({Operation.HASH: 7}, specials=["__eq__"])
    with pytest.raises(TypeError, match="unhashable"):
        hash(proxy)
    assert caller.asked == []
    hashable, caller = proxy_of({Operation.HASH: 7}, specials=["__eq__", "__hash__"])
    assert hash(hashable) == 7


def test_names_of_classes_are_made_presentable():
    """Nothing of the peer's gets into the name of the type but letters and digits."""
    assert proxy_class(describe(name="List[int]\x1b\0"), mimic=False).__name__ == "Listint"
    assert proxy_class(describe(name="\0"), mimic=False).__name__ == "object"
    assert len(proxy_class(describe(name="x" * 1000), mimic=False).__name__) == 80


@pytest.mark.parametrize("base", MIMICKED)
def test_containers_are_mimicked_by_the_connecting_side_only(base):
    """isinstance() says list on a client, never on a server; type() always tells the truth."""
    client, _ = proxy_of(base=base)
    server, _ = proxy_of(base=base, mimic=False)
    assert isinstance(client, MIMICKED[base])
    assert not isinstance(server, MIMICKED[base])
    assert issubclass(type(client), Proxy)
    assert type(client) is not MIMICKED[base]
    assert isinstance(client, Proxy)


@pytest.mark.parametrize(
    "base", ["int", "str", "bytes", "tuple", "type", "object", None, "frozenset"]
)
def test_what_travels_by_value_is_never_mimicked(base):
    """A peer cannot pass its object for an int or a str."""
    proxy, _ = proxy_of(base=base)
    for cls in (int, str, bytes, tuple, type, frozenset, list, dict):
        assert not isinstance(proxy, cls)


def test_only_instances_are_mimicked():
    """The class list is no list."""
    proxy, _ = proxy_of(base="list", kind="class")
    assert not isinstance(proxy, list)


def test_isinstance_asks_a_remote_class():
    """The peer knows whether an object is an instance of its class."""
    cls, caller = proxy_of({Operation.INSTANCE: True}, kind="class")
    assert isinstance(7, cls)
    assert caller.asked == [("INSTANCE", 5, "", (7,), None)]
    caller.answers[Operation.INSTANCE] = "yes"
    assert not isinstance(7, cls)


# ---- members


def test_a_member_is_a_path_that_nobody_has_read():
    """Classes and modules of an object are reached by one message, when they are called."""
    proxy, caller = proxy_of({Operation.CALL: "made"}, members={"Inner": "class"})
    member = proxy.Inner
    assert type(member) is Member
    assert member.__name__ == "Inner"
    assert caller.asked == []
    assert member(1, x=2) == "made"
    assert caller.asked == [("CALL", 5, "Inner", (1,), {"x": 2})]


def test_a_member_is_read_once():
    """Its attributes are those of the proxy that it leads to."""
    answers = {Operation.GET: 3, Operation.NAMES: []}
    inner, inner_caller = proxy_of(answers, oid=9, specials=["__eq__", "__hash__"])
    proxy, caller = proxy_of({Operation.GET: inner}, members={"Inner": "class"})
    member = proxy.Inner
    assert resolve(member) is inner
    assert member.limit == 3
    member.limit = 4
    del member.limit
    assert dir(member) == []
    assert caller.asked == [("GET", 5, "Inner", (), None)]
    assert [asked[0] for asked in inner_caller.asked] == ["GET", "SET", "DELETE", "NAMES"]
    assert resolve(7) == 7


def test_members_show_their_texts():
    """repr, str and docstring are one request each."""
    proxy, caller = proxy_of(
        {Operation.REPR: "<class\x1b[0m>", Operation.STR: "s", Operation.DESCRIBE: {"doc": "All."}},
        members={"Inner": "class"},
    )
    member = proxy.Inner
    assert (repr(member), str(member), member.__doc__) == ("<class>", "s", "All.")
    assert member._repr_mimebundle_() == {"text/plain": "<class>"}
    assert {asked[2] for asked in caller.asked} == {"Inner"}


def test_members_compare_by_where_they_lead():
    """The same path is equal without asking; other things ask, or are not equal."""
    inner, _ = proxy_of({Operation.SPECIAL: True}, oid=9, specials=["__eq__", "__hash__"])
    proxy, caller = proxy_of({Operation.GET: inner}, members={"A": "class", "B": "class"})
    assert proxy.A == proxy.A
    assert hash(proxy.A) == hash(proxy.A)
    assert caller.asked == []
    assert proxy.A == proxy.B
    assert inner == proxy.A
    assert proxy.A != 7


def test_isinstance_asks_a_member_that_is_a_class():
    """The class is read, then asked."""
    cls, _ = proxy_of({Operation.INSTANCE: True}, oid=9, kind="class")
    proxy, _ = proxy_of({Operation.GET: cls}, members={"Inner": "class"})
    assert isinstance(7, proxy.Inner)


def test_probes_of_members_stay_local():
    """What Python and IPython ask for is not read from the peer."""
    proxy, caller = proxy_of(members={"Inner": "class"})
    for name in ("__array_interface__", "_repr_html_", "_ipython_display_", "__wrapped__"):
        assert not hasattr(proxy.Inner, name)
    assert caller.asked == []


def test_what_is_a_proxy_and_where_it_leads():
    """Proxies, members and bound methods have a session, an id and a path."""
    proxy, caller = proxy_of(members={"move": "method", "Inner": "class"})
    assert target_of(proxy) == (caller, 5, "")
    assert target_of(proxy.Inner) == (caller, 5, "Inner")
    assert target_of(proxy.move) == (caller, 5, "move")
    for other in (7, None, print, "x".join, Proxy, Member, type(proxy)):
        assert not is_proxy(other)
    assert is_proxy(proxy)


@given(name=names)
def test_names_are_local_or_asked(name):
    """Every name is either answered here or one request, and the answer is the peer's."""
    proxy, caller = proxy_of({Operation.GET: 7})
    try:
        value = getattr(proxy, name)
    except AttributeError:
        assert caller.asked == []
    except UnicodeEncodeError:
        pass
    else:
        assert caller.asked == [("GET", 5, name, (), None)] or hasattr(Proxy, name)
        assert value == 7 or caller.asked == []


def test_a_proxy_can_be_watched_for_its_death():
    """Weak references work, and nothing keeps a proxy alive."""
    proxy, _ = proxy_of(members={"move": "method"})
    reference = weakref.ref(proxy)
    proxy.move()
    reprlib.repr(proxy)
    del proxy
    assert reference() is None
