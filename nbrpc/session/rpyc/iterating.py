"""Iteration over the objects of an RPyC peer.

RPyC sends items when it is asked, one at a time or some at once. To ask for several at once is
right for what is there already, such as a list; of a generator it would wait for items that take
their time. So containers are read in chunks that grow, and all else item by item.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Generator, Iterator
from typing import TYPE_CHECKING, Any

from nbrpc.errors import NotSendable
from nbrpc.objects.generators import READ_AHEAD
from nbrpc.objects.proxy import is_proxy
from nbrpc.protocol.messages import Operation
from nbrpc.protocol.rpyc.requests import RpycOperation

if TYPE_CHECKING:
    from nbrpc.objects.proxy import Proxy
    from nbrpc.session.rpyc.session import RpycSession

__all__ = ["advance", "in_chunks", "iterate", "iterate_async"]

AT_HAND = frozenset(
    """
    bytearray deque dict dict_items dict_keys dict_values frozenset list memoryview range set tuple
    """.split()  # noqa: SIM905 - a list of words
)
"""Classes whose items are there before they are asked for."""

FIRST_CHUNK = 16
LARGEST_CHUNK = 4096


def iterate(session: RpycSession, proxy: Proxy) -> Iterator[Any]:
    """Iterate over a remote object."""
    described = proxy._nbrpc_description_
    if described.name in AT_HAND and described.module in ("builtins", "collections"):
        return in_chunks(session, proxy, FIRST_CHUNK, LARGEST_CHUNK, 4)
    iterator = session.request(Operation.SPECIAL, proxy._nbrpc_oid_, "__iter__")
    return _one_by_one(session, iterator) if is_proxy(iterator) else iter(iterator)


def _one_by_one(session: RpycSession, iterator: Proxy) -> Generator[Any, Any, Any]:
    while True:
        try:
            item = advance(session, iterator)
        except StopIteration as stop:
            return stop.value
        if (yield item) is not None:
            raise NotSendable(READ_AHEAD)


def in_chunks(
    session: RpycSession, iterable: Any, chunk: int, most: int, factor: int
) -> Iterator[Any]:
    """Iterate in chunks, each ``factor`` times as large as the one before up to ``most``."""
    iterator = session.request(Operation.SPECIAL, iterable._nbrpc_oid_, "__iter__")
    if not is_proxy(iterator):
        yield from iterator
        return
    while True:
        items = session.request(RpycOperation.TAKE, iterator._nbrpc_oid_, "", (chunk,))
        if not items:
            return
        yield from items
        chunk = min(most, chunk * factor)


def advance(session: RpycSession, proxy: Proxy, sent: object = None) -> Any:
    """Give the next item of a remote iterator; StopIteration at its end."""
    request: tuple[Any, ...] = (Operation.SPECIAL, proxy._nbrpc_oid_, "__next__")
    if sent is not None:
        method = session.request(Operation.GET, proxy._nbrpc_oid_, "send")
        request = (Operation.CALL, method._nbrpc_oid_, "", (sent,))
    call, deadline = session.begin(*request)
    return session.finish_next(call, deadline)


async def iterate_async(session: RpycSession, proxy: Proxy) -> AsyncIterator[Any]:
    """Iterate without blocking an event loop: each item is asked for on a thread."""
    loop = asyncio.get_running_loop()
    iterator = await loop.run_in_executor(None, iterate, session, proxy)
    end = object()
    while (item := await loop.run_in_executor(None, next, iterator, end)) is not end:
        yield item
