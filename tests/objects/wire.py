"""Two boxings with a real protocol between them: what one side boxes, the other unboxes."""

from __future__ import annotations

import threading
import weakref

from nbrpc.errors import TooLarge
from nbrpc.objects.access import Policy
from nbrpc.objects.boxing import Boxing
from nbrpc.objects.draft import DATA, DEEP
from nbrpc.objects.refs import pairs
from nbrpc.objects.spilling import spilled
from nbrpc.options import Access, Limits
from nbrpc.protocol.messages import Describe, Kind
from tests.protocol.ends import ready_pair, written


class Stand:
    """Stands for an object of the other side, as a proxy does."""

    def __init__(self, end, ref, description):
        self.end, self.description = end, description
        self.oid, self.key, self.text = ref.oid, ref.key, ref.text


class End:
    """One side."""

    def __init__(self, protocol, limits=None, access=None):
        self.protocol = protocol
        self.guard = threading.Lock()
        self.boxing = Boxing(
            Policy(access or Access()), limits or Limits(), self.guard, self._stand, self._home
        )

    def _stand(self, ref, description):
        return Stand(weakref.proxy(self), ref, description)

    def _home(self, obj):
        return (obj.oid, "") if type(obj) is Stand and obj.end == self else None

    def write(self, obj, *, form=DATA, back=False) -> bytes:
        """Box an object and give the bytes of what describes its classes and a reply."""
        draft = self.boxing.draft(form, back=back)
        try:
            value = self.boxing.box(obj, draft)
            data = self._reply(value, draft)
        except BaseException:
            draft.undo()
            raise
        described = b"".join(
            written(self.protocol, Kind.DESCRIBE, (number, description))
            for number, (_, description) in draft.classes.items()
        )
        draft.described()
        return described + data

    def _reply(self, value, draft) -> bytes:
        try:
            return written(self.protocol, Kind.REPLY, (1, value), draft.buffers)
        except TooLarge:
            value = spilled(value, draft.attach, self.protocol.body_limit)
            return written(self.protocol, Kind.REPLY, (1, value), draft.buffers)

    def receive(self, data: bytes):
        """Give the last message in some bytes; those before it describe classes."""
        *described, message = self.protocol.receive(data)
        for one in described:
            assert type(one) is Describe
            self.boxing.learn(one.key, one.description)
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


def carried(obj, *, deep=False, form=DATA, back=False, ends=None):
    """Send an object from one side to the other and give what arrives."""
    one, other = ends or two_ends()
    return other.read(one.write(obj, form=DEEP if deep else form, back=back))
