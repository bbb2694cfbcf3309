"""Remembers which messages were handled, so that a repeated delivery is dropped."""

from __future__ import annotations

from typing import Final, Literal, Protocol

from ..config import whole

CAPACITY: Final = 10_000
"""The default number of keys that are remembered, about 2 MB."""

Claim = Literal["new", "busy", "done"]


class SharedSeenKeys(Protocol):
    """A memory of message keys outside of this process, such as `RedisSeenKeys`."""

    async def claim(self, key: str) -> Claim:
        """Ask whether to handle a message, as `SeenKeys.claim`.

        Args:
            key: the message's key.

        Returns:
            "new", "busy" or "done".
        """
        ...

    async def keep(self, key: str) -> None:
        """Remember that a claimed message was handled.

        Args:
            key: the message's key.
        """
        ...

    async def release(self, key: str) -> None:
        """Give up a claim: the message was not handled.

        Args:
            key: the message's key.
        """
        ...


class SeenKeys:
    """A bounded memory of message keys: those that were handled, and those being handled.

    If the same message is delivered twice at the same time, one delivery gets "new" and the
    other "busy". Beyond `capacity`, the key that was kept longest ago is forgotten, and its
    message would be new again.

    Two identical messages of one millisecond have the same key in webhooks, because only a
    walk can number them. If both of them count, read them by a walk.

    The memory belongs to one process and ends with it. For several workers there is
    `RedisSeenKeys`.

    Example:
        ```python
        seen = SeenKeys()
        if seen.claim(message.key) == "new":
            try:
                await handle(message)
            except BaseException:
                seen.release(message.key)  # the next delivery is new again
                raise
            seen.keep(message.key)
        ```

    Args:
        capacity: the number of handled keys to remember, 1 or more. Keys being handled do
            not count. Default 10,000.

    Raises:
        ConfigurationError: `capacity` is not accepted.
    """

    __slots__ = ("_busy", "_capacity", "_done")

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = whole(capacity, name="capacity", least=1)
        self._done: dict[str, None] = {}  # oldest first
        self._busy: set[str] = set()

    def __len__(self) -> int:
        return len(self._done)

    def claim(self, key: str) -> Claim:
        """Ask whether to handle a message.

        Args:
            key: the message's key.

        Returns:
            "new" if the message must be handled; call `keep` or `release` afterwards.
            "busy" if another delivery of it is being handled. "done" if it was handled.
        """
        if key in self._done:
            return "done"
        if key in self._busy:
            return "busy"
        self._busy.add(key)
        return "new"

    def keep(self, key: str) -> None:
        """Remember that a claimed message was handled.

        Args:
            key: the message's key.
        """
        self._busy.discard(key)
        self._done[key] = None
        if len(self._done) > self._capacity:
            del self._done[next(iter(self._done))]

    def release(self, key: str) -> None:
        """Give up a claim: the message was not handled, and its next delivery is new.

        Args:
            key: the message's key.
        """
        self._busy.discard(key)
