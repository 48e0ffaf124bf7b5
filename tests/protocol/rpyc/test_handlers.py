"""The numbers and names are those of RPyC."""

from __future__ import annotations

from rpyc.core import consts, netref

from nbrpc.protocol.rpyc.handlers import (
    LOCAL_ATTRIBUTES,
    MSG_EXCEPTION,
    MSG_REPLY,
    MSG_REQUEST,
    Handler,
    Label,
)


def test_numbers_are_those_of_rpyc():
    """Each handler, label and kind of message has the number that RPyC gives it."""
    named = {
        name.removeprefix("HANDLE_"): number
        for name, number in vars(consts).items()
        if name.startswith("HANDLE_")
    }
    assert {handler.name: handler.value for handler in Handler} == named
    assert [handler.value for handler in Handler] == list(range(1, 21))
    for label in Label:
        assert label == getattr(consts, f"LABEL_{label.name}")
    assert (MSG_REQUEST, MSG_REPLY, MSG_EXCEPTION) == (
        consts.MSG_REQUEST,
        consts.MSG_REPLY,
        consts.MSG_EXCEPTION,
    )


def test_local_attributes_are_those_of_rpyc():
    """What a proxy of RPyC never asks for is known."""
    assert LOCAL_ATTRIBUTES == netref.LOCAL_ATTRS
