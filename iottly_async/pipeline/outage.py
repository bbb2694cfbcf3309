"""Waits out failures that pass, together for all patient calls of a session.

A call is patient if nobody waits for it: a page of a walk, of a job, of a follower (D18). If
the service is away, each of them would try again and again, and a hundred at once would
overload a service that comes back. So they share a circuit:

- It is *closed* at first. Calls are sent. A patient call that fails pauses, and tries again.
- It *opens* after three failures in a row, of whichever calls. While it is open, one patient
  call at a time is sent, the *probe*; the others wait in a queue. A probe that fails goes to
  the end of the queue, so that one request that always fails cannot hold up the others.
  Pauses between probes grow from 0.5 s to 15 s.
- The first success of any call *closes* it, and all that wait go on at once.

With many requests at once, answers arrive that were under way when the service went away. They
say nothing of what it is now. So only a request that was sent after the first failure of a row
ends the row, and only one that was sent after the circuit opened closes it. Before it opens,
the failures of a row must outnumber such late answers: if one request of ten fails, the service
is not away.

A call that somebody waits for never waits here. Its outcome counts like any other.

One request that always fails is not an outage. If other calls succeed between the failures of
a call, that call alone does not open the circuit any more. And if it alone has opened it, the
next other call is sent at once, and shows whether the service is there.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from math import inf
from typing import Final

from ..clock import Clock
from ..errors import IottlyError
from ..models import Outage

OPENS_AFTER: Final = 3
"""Failures in a row that open the circuit."""

LONGEST_RETRY_AFTER: Final = 60.0
"""Seconds: a longer Retry-After is cut to this. The next probe asks again."""

_FIRST_PAUSE: Final = 0.5
_GROWTH: Final = 1.5
_LONGEST_PAUSE: Final = 15.0
_JITTER: Final = 0.1


def probe_pause(failures: int, random: Callable[[], float]) -> float:
    """Draw the pause before the next probe.

    Args:
        failures: probes that failed in a row; 0 before the first.
        random: draws a number in [0, 1).

    Returns:
        Seconds: 0.5 s that grow by half with each failure, give or take a tenth; 15 s at most.
    """
    pause = _FIRST_PAUSE * _GROWTH ** min(failures, 20)
    return min(pause * (1.0 + _JITTER * (2.0 * random() - 1.0)), _LONGEST_PAUSE)


class CallOutcomes:
    """What one call has met so far, as the circuit needs it.

    Attributes:
        failures: failures that pass, in this call.
        first_at: when the first of them was, in seconds of the monotonic clock.
        error: the last of them; None before the first.
        warned: whether a log line said that this call alone fails.
    """

    __slots__ = ("_alone", "_successes", "error", "failures", "first_at", "warned")

    def __init__(self) -> None:
        self.failures = 0
        self.first_at = 0.0
        self.error: IottlyError | None = None
        self.warned = False
        self._alone = 0
        self._successes = 0

    def failed(self, error: IottlyError, now: float, successes: int) -> None:
        """Note a failure; `successes` is the circuit's count at this moment."""
        if not self.failures:
            self.first_at = now
        elif successes > self._successes:
            self._alone += 1
        self._successes = successes
        self.failures += 1
        self.error = error

    @property
    def fails_alone(self) -> bool:
        """Whether other calls have succeeded between the failures of this one."""
        return self._alone >= OPENS_AFTER


class OutageCircuit:
    """Decides which patient calls may be sent; see the module.

    It belongs to the event loop of its session.

    Args:
        clock: the time and random numbers.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._successes = 0
        # Failures in a row without a success between, of whichever calls, and answers to
        # requests that were sent before the first of them.
        self._failures = 0
        self._late_answers = 0
        self._first_at = 0.0
        self._since = 0.0
        self._error: IottlyError | None = None
        # The one call that they are all of; None if they are of several.
        self._only: CallOutcomes | None = None
        self._open = False
        self._opened_at = 0.0
        self._failed_probes = 0
        self._probe_at = 0.0
        self._probe: CallOutcomes | None = None
        self._queue: deque[tuple[CallOutcomes, asyncio.Future[None]]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def open(self) -> bool:
        """Whether the service is away."""
        return self._open

    @property
    def waiting(self) -> int:
        """Calls that wait for the service to come back."""
        return len(self._queue)

    @property
    def error(self) -> IottlyError | None:
        """The last failure in a row; None after a success."""
        return self._error

    @property
    def outage(self) -> Outage | None:
        """The outage that goes on; None if there is none."""
        return self._described() if self._open else None

    def _described(self) -> Outage:
        error = self._error
        return Outage(
            since=datetime.fromtimestamp(self._since, UTC),
            seconds=max(self._clock.monotonic() - self._first_at, 0.0),
            reason="" if error is None else reason_of(error),
        )

    def may_send(self, call: CallOutcomes) -> bool:
        """Whether a patient call may be sent now."""
        return not self._open or self._probe is call

    def probe_in(self) -> float:
        """Seconds until the next probe; 0 if the circuit is closed."""
        if not self._open:
            return 0.0
        return max(self._probe_at - self._clock.monotonic(), 0.0)

    # --- outcomes ------------------------------------------------------------------------

    def succeeded(self, sent_at: float) -> Outage | None:
        """Any call was answered: close, and wake all that wait.

        Args:
            sent_at: when its request was sent, in seconds of the monotonic clock.

        Returns:
            The outage that has ended; None if there was none, or it goes on.
        """
        self._successes += 1
        if self._open:
            if sent_at < self._opened_at:
                return None
        elif self._failures and sent_at < self._first_at:
            self._late_answers += 1
            return None
        self._failures = self._late_answers = 0
        self._only = None
        if not self._open:
            self._error = None
            return None
        ended = self._described()
        self._open, self._probe, self._error = False, None, None
        self._cancel_timer()
        while self._queue:
            _, future = self._queue.popleft()
            if not future.done():
                future.set_result(None)
        return ended

    def failed(self, call: CallOutcomes, error: IottlyError) -> Outage | None:
        """A call failed in a way that may pass.

        Args:
            call: which it was; its own count goes up too.
            error: how it failed.

        Returns:
            The outage that has begun; None if there is none, or it goes on.
        """
        now = self._clock.monotonic()
        call.failed(error, now, self._successes)
        if self._open:
            self._error = error
            if call is not self._only:
                self._only = None
            if self._probe is call:
                self._probe_failed(now)
            self._wait_as_asked(error, now)
            self._set_timer()
            return None
        if call.fails_alone:
            return None
        if not self._failures:
            self._first_at, self._since, self._only = now, self._clock.time(), call
        elif call is not self._only:
            self._only = None
        self._failures += 1
        self._error = error
        if self._failures >= OPENS_AFTER and self._failures > self._late_answers:
            self._open = True
            self._opened_at = now
            self._failed_probes = 1
            self._probe_at = now + probe_pause(0, self._clock.random)
            self._wait_as_asked(error, now)
            return self._described()
        return None

    def undecided(self, call: CallOutcomes) -> None:
        """A call was answered by something that cannot be read: who knows whose it is."""
        if self._probe is call:
            self._probe_failed(self._clock.monotonic())
            self._set_timer()

    def _probe_failed(self, now: float) -> None:
        self._probe = None
        self._probe_at = now + probe_pause(self._failed_probes, self._clock.random)
        self._failed_probes += 1

    def _wait_as_asked(self, error: IottlyError, now: float) -> None:
        asked = min(error.retry_after or 0.0, LONGEST_RETRY_AFTER)
        self._probe_at = max(self._probe_at, now + asked)

    # --- waiting -------------------------------------------------------------------------

    async def wait(self, call: CallOutcomes, seconds: float = inf) -> bool:
        """Wait until a patient call may be sent: as the probe, or because the outage is over.

        A call that became the probe ends with `succeeded`, `failed` or `leave`.

        Args:
            call: that waits.
            seconds: how long it waits at most.

        Returns:
            True if it may be sent; False if the seconds are over.
        """
        if self.may_send(call):
            return True
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (call, future)
        self._queue.append(entry)
        self._set_timer()
        try:
            async with asyncio.timeout(None if seconds == inf else seconds):
                await future
        except TimeoutError:
            # It may have become the probe in the same moment.
            return self.may_send(call)
        except BaseException:
            self.leave(call)
            raise
        finally:
            if entry in self._queue:
                self._queue.remove(entry)
                if not self._queue:
                    self._cancel_timer()
        return True

    def leave(self, call: CallOutcomes) -> None:
        """A call ends, whatever became of it: if it was the probe, the next one is."""
        if self._probe is call:
            self._probe = None
            self._set_timer()

    def _next_probe(self) -> tuple[int, float]:
        """Who of the queue is to be the probe, and when."""
        if self._only is not None:
            for place, (call, _) in enumerate(self._queue):
                if call is not self._only:
                    return place, 0.0  # only one call fails: another one shows more
        return 0, self._probe_at

    def _set_timer(self) -> None:
        """Let one of the queue be the probe as soon as it is due."""
        self._cancel_timer()
        if not self._open or self._probe is not None or not self._queue:
            return
        place, due = self._next_probe()
        loop = self._queue[place][1].get_loop()
        if not loop.is_closed():
            delay = max(due - self._clock.monotonic(), 0.0)
            self._timer = loop.call_later(delay, self._send_probe)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _send_probe(self) -> None:
        self._timer = None
        while self._queue and self._probe is None:
            place, _ = self._next_probe()
            call, future = self._queue[place]
            del self._queue[place]
            if not future.done():  # else it was cancelled in this moment
                self._probe = call
                future.set_result(None)


def reason_of(error: IottlyError) -> str:
    """How an attempt failed: its class and status, and nothing of the service's own text."""
    name = type(error).__name__
    return name if error.status is None else f"{name} {error.status}"
