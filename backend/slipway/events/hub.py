"""Who wants to know that something changed, now, in this process. Carries topics, never data."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Subscription:
    """An endless iterator over sets of topics that changed since the last step: many changes become one."""

    def __init__(self) -> None:
        self._changed: set[str] = set()
        self._wake = asyncio.Event()

    def tell(self, topic: str) -> None:
        self._changed.add(topic)
        self._wake.set()

    def __aiter__(self) -> "Subscription":
        return self

    async def __anext__(self) -> set[str]:
        await self._wake.wait()
        self._wake.clear()
        changed, self._changed = self._changed, set()
        return changed


class Hub:
    """Topics: `app:<id>`, `environment:<id>`, `deployment:<id>`, `apps`, `certificates`, `figures`.

    `app:*` subscribes to all of a kind, those of things that are made later among them.
    """

    def __init__(self) -> None:
        self._subscriptions: dict[str, set[Subscription]] = defaultdict(set)

    def publish(self, *topics: str) -> None:
        for topic in topics:
            kind, of_one, _ = topic.partition(":")
            for subscribed in (topic, f"{kind}:*") if of_one else (topic,):
                for subscription in self._subscriptions.get(subscribed, ()):
                    subscription.tell(topic)

    @asynccontextmanager
    async def subscribe(self, *topics: str) -> AsyncIterator[Subscription]:
        subscription = Subscription()
        for topic in topics:
            self._subscriptions[topic].add(subscription)
        try:
            yield subscription
        finally:
            for topic in topics:
                self._subscriptions[topic].discard(subscription)
                if not self._subscriptions[topic]:
                    del self._subscriptions[topic]
