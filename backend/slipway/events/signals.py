"""Upward calls: a lower domain says what happened, and `app.py` has wired who listens."""

from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

Handler = Callable[..., Awaitable[None]]


class Signals:
    """Handlers by name. `send` awaits each; an error in one is the caller's."""

    def __init__(self) -> None:
        self._handlers: dict[str, list[Handler]] = defaultdict(list)

    def connect(self, name: str, handler: Handler) -> None:
        self._handlers[name].append(handler)

    async def send(self, name: str, **data: Any) -> None:
        for handler in self._handlers[name]:
            await handler(**data)
