"""A session that answers from a table and notes what it was asked."""

from __future__ import annotations

from nbrpc.objects.proxy_classes import make_proxy, proxy_class
from nbrpc.protocol.codec import Description, Ref
from nbrpc.protocol.messages import Operation


async def aiter_of(items):
    """Give items one by one."""
    for item in items:
        yield item


class FakeCaller:
    """Stands for a session; ``answers`` maps operations to a value, an exception or a function."""

    name = "tcp://lab:1"
    nests = False

    def __init__(self, answers=None):
        self.answers = answers or {}
        self.asked = []

    def request(self, op, oid, name, args=(), kwargs=None):
        """Note the request and give the answer."""
        self.asked.append((Operation(op).name, oid, name, tuple(args), kwargs))
        answer = self.answers.get(op)
        if callable(answer):
            answer = answer(name, *args)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def iterate(self, proxy):
        """Iterate over what is answered to STREAM."""
        self.asked.append(("STREAM", proxy._nbrpc_oid_, "", (), None))
        return iter(self.answers[Operation.STREAM])

    def iterate_async(self, proxy):
        """Iterate in a coroutine over what is answered to STREAM."""
        self.asked.append(("ASYNC STREAM", proxy._nbrpc_oid_, "", (), None))
        return aiter_of(self.answers[Operation.STREAM])

    def advance(self, proxy):
        """Give what is answered to STREAM."""
        self.asked.append(("NEXT", proxy._nbrpc_oid_, "", (), None))
        return self.answers[Operation.STREAM]

    def remote_event(self, proxy, name):
        """Give something that can be told from all else."""
        return ("event", proxy, name)


def describe(*, kind="instance", members=None, specials=(), base=None, name="Stage"):
    """Give a description."""
    return Description("lab", name, kind, members or {}, tuple(specials), base, "A stage.")


def proxy_of(answers=None, *, mimic=True, oid=5, text=None, **description):
    """Give a proxy and the session behind it."""
    caller = FakeCaller(answers)
    described = describe(**description)
    return make_proxy(
        proxy_class(described, mimic=mimic), caller, Ref(oid, 1, text), described
    ), caller
