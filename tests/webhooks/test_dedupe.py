"""The memory of handled webhooks: a message is handled once, and the memory is bounded."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from iottly_async.webhooks.dedupe import SeenKeys


def test_a_message_is_handled_once() -> None:
    """A key is new once, busy while its message is handled, and done afterwards."""
    seen = SeenKeys()
    assert [seen.claim("k"), seen.claim("k")] == ["new", "busy"]
    seen.keep("k")
    assert seen.claim("k") == "done"


def test_a_message_whose_handling_failed_is_new_again() -> None:
    """After `release` the next delivery of the message is new."""
    seen = SeenKeys()
    assert seen.claim("k") == "new"
    seen.release("k")
    assert seen.claim("k") == "new"


@given(st.lists(st.integers(0, 30), max_size=200), st.integers(1, 8))
def test_the_memory_is_bounded(keys: list[int], capacity: int) -> None:
    """It holds the last `capacity` keys that were kept, and no other."""
    seen = SeenKeys(capacity)
    kept: list[str] = []
    for key in map(str, keys):
        found = seen.claim(key)
        assert (found == "done") == (key in kept[-capacity:])
        if found == "new":
            seen.keep(key)
            kept.append(key)
    assert len(seen) == min(capacity, len(kept))
