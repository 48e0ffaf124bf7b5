"""Classes and members of enumerations travel by the names of closed tables."""

from __future__ import annotations

import http
import importlib
import io
import re
import signal
import socket
import ssl
import sys
import uuid

import numpy as np
import pytest

from nbrpc.errors import NotSendable
from nbrpc.objects.kinds import classes
from tests.objects.taken_apart import carried, refused


def every_class():
    """Give the classes of the tables that there are here."""
    for library, names in classes.CLASSES.items():
        module = importlib.import_module(library)
        for name in sorted(names - {"NoneType"}):
            if name in vars(module):
                yield vars(module)[name]
    yield type(None)


@pytest.mark.parametrize("cls", list(every_class()))
def test_a_class_of_the_table_is_the_one_that_is_here(cls):
    """A class travels by its name."""
    assert carried(cls) is cls


def test_every_builtin_exception_and_scalar_of_numpy_has_a_name():
    """The tables know what this version has."""
    import builtins

    for base, module in ((Exception, builtins), (np.generic, np)):
        found = [cls for cls in vars(module).values() if isinstance(cls, type)]
        for cls in (cls for cls in found if issubclass(cls, base)):
            assert classes.class_named(classes.class_name_of(cls)) is cls


def test_a_class_of_no_table_has_no_name():
    """Not even one that feigns to be in it; and no other name is looked up."""
    feigned = type("int", (int,), {"__module__": "builtins"})
    for cls in (feigned, KeyboardInterrupt, SystemExit, type, io.BytesIO, np.ndarray):
        assert classes.class_name_of(cls) is None
    for name in ("builtins.eval", "builtins.type", "os.system", "numpy.load", "builtins", "", "."):
        refused("nbrpc.class", name)


def test_a_class_that_is_not_installed_is_told_of(monkeypatch):
    """The sentence names the library."""
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(NotSendable, match=r"pandas\.Timestamp needs pandas"):
        classes.class_named("pandas.Timestamp")


MEMBERS = [
    re.IGNORECASE,
    re.IGNORECASE | re.VERBOSE,
    re.RegexFlag(0),
    signal.SIGINT,
    signal.SIG_DFL,
    http.HTTPStatus.NOT_FOUND,
    http.HTTPMethod.GET,
    socket.AF_INET,
    socket.SOCK_STREAM,
    ssl.TLSVersion.TLSv1_2,
    uuid.SafeUUID.unknown,
]


@pytest.mark.parametrize("member", MEMBERS, ids=repr)
def test_a_member_of_an_enumeration_of_the_library_is_the_one_that_is_here(member):
    """By its name, flags by their number."""
    assert carried(member) is member


def test_a_member_that_is_none_is_refused():
    """No other name is looked up, in the table or in the class."""
    refused("nbrpc.member", "os.system", "x")
    refused("nbrpc.member", "re.compile", 1)
    refused("nbrpc.member", "re.RegexFlag", "IGNORECASE")
    refused("nbrpc.member", "signal.Signals", 2)
    refused("nbrpc.member", "re.RegexFlag", True)
    for name, value in (("signal.Signals", "SIGNOT"), ("signal.Signals", "__class__")):
        with pytest.raises(NotSendable):
            classes.member_named(name, value)


def test_no_peer_fills_a_flag_with_combinations():
    """Flags keep what was ever asked for, so unknown bits are not."""
    count = len(re.RegexFlag._value2member_map_)
    for bit in (2**40, -1, -(2**62)):
        with pytest.raises(NotSendable):
            classes.member_named("re.RegexFlag", bit)
    assert len(re.RegexFlag._value2member_map_) == count
    assert classes.member_name_of(re.RegexFlag(2**20)) is None
