"""What an answer means: its window, a wrong clock, a Reset that is rounded down."""

from collections.abc import Mapping
from email.utils import formatdate

import pytest

from iottly_async.ratelimit.observe import QuotaObserver, Reading
from iottly_async.ratelimit.window import Place
from tests.ratelimit.driver import EPOCH


def observe(
    observer: QuotaObserver,
    now: float,
    *,
    reset: float = 120.0,
    remaining: int = 10,
    status: int = 200,
    wall: float = 0.0,
    probe: bool = False,
    fields: Mapping[str, str] | None = None,
) -> Reading:
    """Read an answer that arrives at `now`; the wall clock is `wall` seconds ahead."""
    headers = {
        "date": formatdate(int(EPOCH + now), usegmt=True),
        "x-ratelimit-limit": "60",
        "x-ratelimit-remaining": str(remaining),
        "x-ratelimit-reset": str(int(EPOCH + reset)),
        **(fields or {}),
    }
    return observer.observe(
        status, headers, sent=now - 0.01, now=now, wall=EPOCH + now + wall, probe=probe
    )


def test_a_newer_window_is_taken_over() -> None:
    """The first answer begins a window, and a later Reset the next one."""
    observer = QuotaObserver()
    assert observe(observer, 100.5).place is Place.NEWER
    assert observe(observer, 101.5).place is Place.SAME
    assert observe(observer, 121.5, reset=180).place is Place.NEWER
    assert observe(observer, 121.6).place is Place.OLDER


@pytest.mark.parametrize("fields", [{"x-ratelimit-reset": "soon"}, {"x-ratelimit-reset": "99"}])
def test_nonsense_is_no_observation(fields: dict[str, str]) -> None:
    """Limit headers that cannot be read, or a Reset that would be years ago, are ignored."""
    observer = QuotaObserver()
    headers = {"x-ratelimit-limit": "60", "x-ratelimit-remaining": "1", **fields}
    if fields["x-ratelimit-reset"] == "99":
        headers["x-ratelimit-reset"] = str(int(EPOCH - 3600))
    reading = observer.observe(200, headers, sent=1.0, now=1.1, wall=EPOCH + 1.1, probe=False)
    assert reading.remaining is None
    assert not observer.window.known


def test_another_limit_is_noticed() -> None:
    """A limit that changes within a window is said."""
    observer = QuotaObserver()
    assert not observe(observer, 100.5).resized
    assert observe(observer, 100.6, fields={"x-ratelimit-limit": "600"}).resized


def test_only_a_refusal_asks_to_wait() -> None:
    """Retry-After counts with a 429, and with nothing else."""
    observer = QuotaObserver()
    assert observe(observer, 100.5, fields={"retry-after": "7"}).wait is None
    assert observe(observer, 100.6, status=429, fields={"retry-after": "7"}).wait == 7


def test_a_right_wall_clock_tells_the_end() -> None:
    """A wall clock within the bounds is used to the millisecond."""
    observer = QuotaObserver()
    observe(observer, 100.5)
    assert observer.ends(101.0, EPOCH + 101.0) == pytest.approx(120.02)


def test_a_wall_clock_that_was_too_early_is_not_used_again() -> None:
    """A probe that was still counted in the old window shows a wall clock that is ahead."""
    observer = QuotaObserver()
    observe(observer, 100.2, wall=0.6)
    assert observer.ends(101.0, EPOCH + 101.6) == pytest.approx(119.42)
    observe(observer, 119.45, remaining=0, status=429, wall=0.6, probe=True)
    assert observer.ends(119.5, EPOCH + 120.1) >= 120.0


def test_a_reset_that_is_rounded_down_is_noticed() -> None:
    """A probe that was still counted after Reset shows that Reset is rounded down."""
    observer = QuotaObserver()
    for tenth in range(12):
        observe(observer, 100.0 + tenth / 10)  # the clock is known well
    observe(observer, 120.5, remaining=0, status=429, probe=True)
    assert observer.ends(120.6, EPOCH + 120.6) == pytest.approx(121.02)
