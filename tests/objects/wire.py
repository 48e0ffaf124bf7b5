"""Two boxings with a real protocol between them: what one side boxes, the other unboxes."""

from __future__ import annotations

import threading
import weakref

from nbrpc.objects.access import Policy
from nbrpc.objects.boxing import Boxing, ByValue, Draft
from nbrpc.objects.refs import pairs
from nbrpc.options import Access, Limits
from nbrpc.protocol.messages import Kind
from tests.protocol.ends import ready_pair, written


class Stand:
    """Stands for an object of the other side, as a proxy does."""

    def __init__(self, end, oid, key, description):
        self.end, self.oid, self.key, self.description = end, oid, key, description


class End:
    """One side."""

    def __init__(self, protocol, limits=None, access=None):
        self.protocol = protocol
        self.guard = threading.Lock()
        self.boxing = Boxing(
            Policy(access or Access()), limits or Limits(), self.guard, self._stand, self._home
        )

    def _stand(self, oid, key, description):
        return Stand(weakref.proxy(self), oid, key, description)

    def _home(self, obj):
        return (obj.oid, "") if type(obj) is Stand and obj.end == self else None

    def write(self, obj, *, deep=False) -> bytes:
        """Box an object and give the bytes of a reply with it."""
        draft = Draft(self.boxing)
        try:
            value = self.boxing.box(ByValue(obj) if deep else obj, draft)
            data = written(self.protocol, Kind.REPLY, (1, value), draft.buffers)
        except BaseException:
            draft.undo()
            raise
        draft.sent()
        return data

    def receive(self, data: bytes):
        """Give the message in some bytes."""
        (message,) = self.protocol.receive(data)
        return message

    def read(self, data: bytes):
        """Give the object in the bytes of a reply."""
        message = self.receive(data)
        return self.boxing.unbox(message.value, message.buffers)

    def take_back(self, counts):
        """Take references back."""
        with self.guard:
            return [self.boxing.exports.release(oid, count) for oid, count in pairs(counts)]

    def releases(self):
        """Give what is to be given back."""
        with self.guard:
            return self.boxing.imports.releases()


def two_ends(limits=None, access=None) -> tuple[End, End]:
    """Give two sides that talk to each other."""
    client, server = ready_pair(limits)
    return End(client, limits, access), End(server, limits, access)


def carried(obj, *, deep=False, ends=None):
    """Send an object from one side to the other and give what arrives."""
    one, other = ends or two_ends()
    return other.read(one.write(obj, deep=deep))
