"""Events as iterators: ``for item in event.stream()`` and ``async for item in event``."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterator
from typing import Any

from nbrpc.session.call import Call
from nbrpc.session.events import RemoteEvent, Subscription
from nbrpc.session.waiting import wait_for

__all__ = ["EventStream", "stream_async"]


def _item(args: tuple[Any, ...]) -> Any:
    return args[0] if len(args) == 1 else args


class EventStream:
    """An iterator over events that waits for each."""

    def __init__(self, event: RemoteEvent, policy: str, maxsize: int) -> None:
        self._items: deque[Any] = deque()
        self._call: Call | None = None
        self.subscription: Subscription = event.subscribe(self._take, policy, maxsize, direct=True)
        self.subscription.on_end = self._ended

    def _take(self, *args: Any) -> None:
        self._items.append(_item(args))
        self._wake()

    def _ended(self, _subscription: Subscription) -> None:
        self._wake()

    def _wake(self) -> None:
        call = self._call
        if call is not None:
            call.done = True
            call.wake()

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        while not self._items:
            call = self._call = Call(self.subscription.session, 0)
            if not self._items:
                if self.subscription.closed:
                    if self.subscription.exception is not None:
                        raise self.subscription.exception
                    raise StopIteration
                wait_for(call)
        self._call = None
        return self._items.popleft()

    def close(self) -> None:
        """End the subscription."""
        self.subscription.close()

    def __del__(self) -> None:
        subscription = getattr(self, "subscription", None)
        if subscription is not None and not subscription.closed:
            subscription.session.reactor.call_later(0, _Close(subscription))


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

    subscription = await asyncio.to_thread(event.subscribe, take, direct=True)
    subscription.on_end = lambda _subscription: loop.call_soon_threadsafe(queue.put_nowait, ended)
    try:
        while not subscription.closed or not queue.empty():
            item = await queue.get()
            if item is ended:
                break
            yield item
        if subscription.exception is not None:
            raise subscription.exception
    finally:
        subscription.close()
