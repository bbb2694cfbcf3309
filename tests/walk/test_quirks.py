"""What page lengths show about a server that limits pages to a size of its own."""

from iottly_async.walk.quirks import Quirks


def test_a_longer_page_shows_that_pages_are_not_limited() -> None:
    """A page as long as the longest so far may have been limited. A shorter one was not, and
    neither was one of fewer than ten messages."""
    quirks = Quirks()
    assert not quirks.is_full(9, 100)
    assert quirks.is_full(50, 100)
    assert quirks.is_full(50, 100)
    assert not quirks.is_full(49, 100)
    assert quirks.is_full(70, 100)
    assert not quirks.is_full(50, 100)
    assert quirks.is_full(100, 100)
    assert not quirks.is_full(99, 100)
    assert not quirks.is_full(0, 100)


def test_a_length_that_was_the_last_twice_is_trusted() -> None:
    """Devices with the same number of messages do not cost a second request for ever. The
    first one may have had just as many messages as the server sends."""
    quirks = Quirks()
    for _ in range(2):
        assert quirks.is_full(60, 100)
        quirks.note_last_page(60)
    assert not quirks.is_full(60, 100)
    assert quirks.is_full(61, 100)


def test_after_a_short_page_in_the_middle_only_an_empty_page_is_the_last() -> None:
    """Once a short page was followed by more messages, length says nothing."""
    quirks = Quirks()
    quirks.short_pages = True
    assert quirks.is_full(1, 100)
    assert not quirks.is_full(0, 100)
