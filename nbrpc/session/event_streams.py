"""Events as iterators: ``for item in event.stream()`` and ``async for item in event``."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterator
from typing import Any

from nbrpc.session.call import Call
from nbrpc.session.remote_events import RemoteEvent
from nbrpc.session.subscriptions import Subscription
from nbrpc.session.waiting import wait_for

__all__ = ["EventStream", "stream_async"]


def _item(args: tuple[Any, ...]) -> Any:
    return args[0] if len(args) == 1 else args


class _Inbox:
    """What has arrived; apart from the iterator, so that the subscription does not keep that."""

    def __init__(self) -> None:
        self.items: deque[Any] = deque()
        self.call: Call | None = None

    def take(self, *args: Any) -> None:
        self.items.append(_item(args))
        self.wake()

    def wake(self, _subscription: Subscription | None = None) -> None:
        call = self.call
        if call is not None:
            call.done = True
            call.wake()


class EventStream:
    """An iterator over events that waits for each."""

    def __init__(self, event: RemoteEvent, policy: str, maxsize: int) -> None:
        self._inbox = inbox = _Inbox()
        self.subscription: Subscription = event.subscribe(
            inbox.take, policy, maxsize, direct=True, paid_by_taker=True
        )
        self.subscription.on_end = inbox.wake

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        inbox = self._inbox
        while not inbox.items:
            call = inbox.call = Call(self.subscription.session, 0)
            if not inbox.items:
                if self.subscription.closed:
                    if self.subscription.exception is not None:
                        raise self.subscription.exception
                    raise StopIteration
                wait_for(call)
        inbox.call = None
        item = inbox.items.popleft()
        if not self.subscription.closed:
            self.subscription.taken()
        return item

    def close(self) -> None:
        """End the subscription."""
        self.subscription.close()

    def __del__(self) -> None:
        subscription = getattr(self, "subscription", None)
        if subscription is not None and not subscription.closed:
            subscription.session.reactor.post(_Close(subscription))


class _Close:
    """The end of a subscription whose iterator was dropped."""

    def __init__(self, subscription: Subscription) -> None:
        self._subscription = subscription

    def run(self) -> None:
        self._subscription.close()


async def stream_async(event: RemoteEvent) -> AsyncIterator[Any]:
    """Iterate over events without blocking the loop."""
    import asyncio

    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[Any] = asyncio.Queue()
    ended = object()

    def take(*args: Any) -> None:
        loop.call_soon_threadsafe(queue.put_nowait, _item(args))

    subscription = await asyncio.to_thread(event.subscribe, take, direct=True, paid_by_taker=True)
    subscription.session.dispatcher.serve_on(loop)
    subscription.on_end = lambda _subscription: loop.call_soon_threadsafe(queue.put_nowait, ended)
    try:
        while not subscription.closed or not queue.empty():
            item = await queue.get()
            if item is ended:
                break
            if not subscription.closed:
                subscription.taken()
            yield item
        if subscription.exception is not None:
            raise subscription.exception
    finally:
        subscription.close()
