"""Which messages were handled already: a bounded memory of their keys."""

from __future__ import annotations

from typing import Final, Literal

from ..config import whole

CAPACITY: Final = 10_000
"""Keys remembered where no other number is given: about 2 MB."""

Claim = Literal["new", "busy", "done"]


class SeenKeys:
    """Remembers the keys of the last messages that were handled, and of those being handled.

    ::

        if seen.claim(message.key) == "new":
            try:
                await handle(message)
            except BaseException:
                seen.release(message.key)  # it may be delivered again
                raise
            seen.keep(message.key)

    Of two deliveries of a message at the same time one is told "new" and the other
    "busy". Beyond `capacity` the key that was kept longest ago is forgotten, and its
    message would pass again. Two identical messages of one millisecond have one key
    here, for only a walk can number them: where both count, read them by a walk.

    It belongs to one process, and is lost with it.

    Args:
        capacity: keys kept, 1 or more; default 10,000. Those being handled do not count.

    Raises:
        ConfigurationError: `capacity` is not as above.
    """

    __slots__ = ("_busy", "_capacity", "_done")

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = whole(capacity, name="capacity", least=1)
        self._done: dict[str, None] = {}  # in the order in which they were kept
        self._busy: set[str] = set()

    def __len__(self) -> int:
        return len(self._done)

    def claim(self, key: str) -> Claim:
        """Whether a message is to be handled: "new" yes, and it is taken; "busy" another
        delivery of it is being handled; "done" it was handled.
        """
        if key in self._done:
            return "done"
        if key in self._busy:
            return "busy"
        self._busy.add(key)
        return "new"

    def keep(self, key: str) -> None:
        """The claimed message was handled."""
        self._busy.discard(key)
        self._done[key] = None
        if len(self._done) > self._capacity:
            del self._done[next(iter(self._done))]

    def release(self, key: str) -> None:
        """The claimed message was not handled; its next delivery is new."""
        self._busy.discard(key)
