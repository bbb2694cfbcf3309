"""Granting permits against a model of a server, driven by hypothesis.

Tickets are granted at any time; requests arrive late, or never; answers come in any
order, or never; time passes within and over windows; both clocks may be wrong. The
model server is independent of the code under test.
"""

import asyncio
import math
from dataclasses import dataclass
from email.utils import formatdate

from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    precondition,
    rule,
)

from benchmarks.limiter_quota import ALGORITHMS, quota
from iottly_async.errors import RateLimitedError
from iottly_async.ratelimit import Mode, Permit, RateLimiter, Tier
from iottly_async.ratelimit.permits import PermitIssuer
from tests.support.virtual_time import START, WALL_START, VirtualClock, VirtualLoop, settle

EPOCH = 1_767_225_600.0


@dataclass
class Request:
    """A request of ours between its granting and its end."""

    permit: Permit
    number: int
    known_window: int
    status: int = 0
    window: int = -1
    headers: dict[str, str] | None = None


class FixedWindowAlone(RuleBasedStateMachine):
    """One client alone on a key that is counted in fixed windows on whole seconds."""

    requests = Bundle("requests")

    @initialize(
        limit=st.integers(1, 40),
        window=st.sampled_from([5, 10, 60]),
        phase=st.floats(0, 60),
        server_ahead=st.floats(-10, 10),
        wall_ahead=st.floats(-3, 3),
        reserve=st.sampled_from([0, 0, 3, 0.25]),
    )
    def start(
        self,
        limit: int,
        window: int,
        phase: float,
        server_ahead: float,
        wall_ahead: float,
        reserve: float,
    ) -> None:
        """A server, two clocks that may be wrong, and an issuer that knows nothing."""
        self.limit, self.window, self.reserve = limit, window, reserve
        self.now = 1000.0 + phase
        self.server_ahead, self.wall_ahead = server_ahead, wall_ahead
        self.issuer = PermitIssuer(spread=False, reserve=reserve, tier=None, random=lambda: 0.5)
        self.number, self.used = -1, 0
        self.in_flight = 0
        self.heard_of = -1
        self.vanished_in: set[int] = set()
        self.refused: list[Request] = []

    def wall(self) -> float:
        """What the client's wall clock says."""
        return EPOCH + self.now + self.wall_ahead

    def count(self, request: Request) -> None:
        """The request arrives at the server, which counts and answers it."""
        server_now = EPOCH + self.now + self.server_ahead
        number = math.floor(server_now / self.window)
        if number != self.number:
            self.number, self.used = number, 0
        admitted = self.used < self.limit
        self.used += admitted
        request.status, request.window = (200 if admitted else 429), number
        request.headers = {
            "date": formatdate(math.floor(server_now), usegmt=True),
            "x-ratelimit-limit": str(self.limit),
            "x-ratelimit-remaining": str(self.limit - self.used),
            "x-ratelimit-reset": str((number + 1) * self.window),
        }
        # Where a window's first answers vanish, nothing can tell that it is used up.
        excused = request.known_window < number and number in self.vanished_in
        if not admitted and not excused:
            self.refused.append(request)

    @rule(target=requests, waiting=st.integers(1, 5))
    def ask(self, waiting: int) -> Request:
        """Ask for a permit; if there is none, the issuer says when, or waits for an answer."""
        permit = self.issuer.take(self.now, self.wall(), waiting)
        if permit is None:
            next_at = self.issuer.next_at(self.now, self.wall(), waiting)
            assert next_at is not None or self.in_flight > 0, "nothing would ever wake the queue"
            assert next_at is None or next_at >= self.now
            return Request(Permit(), 0, 0)
        self.in_flight += 1
        return Request(permit, permit.number, self.heard_of)

    @rule(request=requests)
    def arrive(self, request: Request) -> None:
        """The request reaches the server."""
        if request.number and request.headers is None:
            self.count(request)

    @rule(request=consumes(requests))
    def answer(self, request: Request) -> None:
        """The answer reaches the client; answers arrive in any order."""
        if not request.number:
            return
        if request.headers is None:
            self.count(request)
        assert request.headers is not None
        self.in_flight -= 1
        self.heard_of = max(self.heard_of, request.window)
        self.issuer.answered(request.permit, request.status, request.headers, self.now, self.wall())

    @rule(request=consumes(requests))
    def lose(self, request: Request) -> None:
        """The connection breaks: before or after the server counted the request."""
        if request.number:
            self.in_flight -= 1
            self.vanish(request)

    def vanish(self, request: Request) -> None:
        """Its answer is never seen: a refusal among such answers teaches nothing."""
        self.vanished_in.add(request.window)
        if request in self.refused:
            self.refused.remove(request)
        self.issuer.lost(request.permit, self.now)

    @rule(request=consumes(requests))
    def cancel(self, request: Request) -> None:
        """The caller is cancelled before anything was sent."""
        if request.number:
            self.in_flight -= 1
            if request.headers is None:
                self.issuer.unused(request.permit)
            else:
                self.vanish(request)

    @rule(seconds=st.floats(0.001, 2.0))
    def wait_a_little(self, seconds: float) -> None:
        """Time passes."""
        self.now += seconds

    @precondition(lambda self: self.in_flight == 0)
    @rule()
    def sleep_until_the_next_at(self) -> None:
        """Sleep until the time for which the timer would be set."""
        next_at = self.issuer.next_at(self.now, self.wall(), 1)
        assert next_at is not None
        self.now = max(self.now, next_at)

    @invariant()
    def nothing_was_refused(self) -> None:
        """Alone on the key no request is refused.

        A wall clock that is ahead by less than the second that `Date` leaves open may cost
        one refusal, and only one.
        """
        if hasattr(self, "issuer"):
            ahead = self.wall_ahead - self.server_ahead
            assert len(self.refused) <= (0 < ahead < 1.1)

    @invariant()
    def permits_are_conserved(self) -> None:
        """Permits that are granted and not over are those that callers hold."""
        if hasattr(self, "issuer"):
            assert self.issuer.granted - self.issuer.ended == self.in_flight


class AnyServer(RuleBasedStateMachine):
    """Any algorithm, other clients, garbled headers, duplicated end calls, the waiters' side.

    Refusals may happen here. What must hold: permits are conserved, every waiter has a permit in
    the end, and within a priority permits come in the order of asking.
    """

    @initialize(
        algorithm=st.sampled_from(ALGORITHMS),
        limit=st.integers(1, 30),
        window=st.sampled_from([1, 5, 60]),
        mode=st.sampled_from(["burst", "spread"]),
        tier=st.sampled_from([None, "starter", "unlimited", 5]),
        seed=st.integers(0, 5),
    )
    def start(
        self, algorithm: str, limit: int, window: int, mode: Mode, tier: Tier | None, seed: int
    ) -> None:
        """A limiter on a virtual event loop."""
        self.runner = asyncio.Runner(loop_factory=VirtualLoop)
        clock = VirtualClock(seed=seed, loop=self.runner.get_loop())
        self.limit, self.quota = limit, quota(algorithm, limit, window)
        self.limiter = RateLimiter(clock=clock, mode=mode, tier=tier)
        self.permits: list[Permit] = []
        self.over: list[Permit] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.asked: dict[int, list[int]] = {}
        self.served: dict[int, list[int]] = {}
        self.garbled = False

    def pass_time(self, seconds: float = 0.0) -> None:
        """Let the loop run, and time pass."""

        async def pause() -> None:
            await asyncio.sleep(seconds)
            await settle()

        self.runner.run(pause())

    @rule(priority=st.sampled_from([0, 0, 5]), patience=st.none() | st.floats(0, 100))
    def ask(self, priority: int, patience: float | None) -> None:
        """Ask for a permit, with or without a deadline."""
        number = len(self.tasks)
        loop = self.runner.get_loop()
        deadline = None if patience is None else loop.time() + patience

        async def wait() -> None:
            self.asked.setdefault(priority, []).append(number)
            try:
                permit = await self.limiter.acquire(priority=priority, deadline=deadline)
            except (RateLimitedError, asyncio.CancelledError):
                self.asked[priority].remove(number)
                raise
            self.permits.append(permit)
            self.served.setdefault(priority, []).append(number)

        self.tasks.append(loop.create_task(wait()))
        self.pass_time()

    @precondition(lambda self: self.permits)
    @rule(data=st.data(), garbled=st.booleans())
    def answer(self, data: st.DataObject, garbled: bool) -> None:
        """An answer, in any order; some have no headers, or nonsense."""
        permit = self.take(data)
        now = WALL_START + self.runner.get_loop().time() - START
        admitted, remaining, reset = self.quota.take(now)
        headers = {
            "date": formatdate(math.floor(now), usegmt=True),
            "x-ratelimit-limit": str(self.limit),
            "x-ratelimit-remaining": str(remaining),
            "x-ratelimit-reset": "soon" if garbled else str(math.ceil(reset)),
        }
        self.limiter.answered(permit, 200 if admitted else 429, headers)
        self.pass_time()

    def take(self, data: st.DataObject) -> Permit:
        """One of the permits that are out."""
        index = data.draw(st.integers(0, len(self.permits) - 1))
        permit = self.permits.pop(index)
        self.over.append(permit)
        return permit

    @precondition(lambda self: self.permits)
    @rule(data=st.data(), sent=st.booleans())
    def lose(self, data: st.DataObject, sent: bool) -> None:
        """A request ends without an answer."""
        (self.limiter.lost if sent else self.limiter.unused)(self.take(data))
        self.pass_time()

    @precondition(lambda self: self.over)
    @rule(data=st.data())
    def end_again(self, data: st.DataObject) -> None:
        """A permit that is over is given back once more."""
        permit = data.draw(st.sampled_from(self.over))
        self.limiter.unused(permit)
        self.limiter.lost(permit)
        self.limiter.answered(permit, 200, {})

    @rule(data=st.data(), granted=st.booleans())
    def cancel(self, data: st.DataObject, granted: bool) -> None:
        """Cancel a waiter, sometimes in the tick in which its permit is granted."""
        waiting = [task for task in self.tasks if not task.done()]
        if waiting:
            if granted and self.permits:
                self.limiter.unused(self.take(data))
            data.draw(st.sampled_from(waiting)).cancel()
            self.pass_time()

    @rule(count=st.integers(1, 10))
    def others(self, count: int) -> None:
        """Somebody else uses the key."""
        now = WALL_START + self.runner.get_loop().time() - START
        for _ in range(count):
            self.quota.take(now)

    @rule(seconds=st.floats(0.0, 90.0))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.pass_time(seconds)

    @invariant()
    def permits_are_conserved(self) -> None:
        """Permits in flight are those that callers hold; waiters are those not served yet."""
        if hasattr(self, "limiter"):
            known = self.limiter.quota()
            assert known.in_flight == len(self.permits)
            assert known.waiting == sum(not task.done() for task in self.tasks)

    @invariant()
    def no_waiter_overtakes(self) -> None:
        """Within a priority, permits come in the order of asking."""
        if hasattr(self, "limiter"):
            for priority, served in self.served.items():
                assert served == self.asked[priority][: len(served)]

    def teardown(self) -> None:
        """End all permits, and check that every waiter had one."""
        if not hasattr(self, "limiter"):
            return
        for _ in range(3 * len(self.tasks) + 10):
            for permit in self.permits:
                self.limiter.unused(permit)
            self.permits.clear()
            self.pass_time(3700.0)
        waiting = [task for task in self.tasks if not task.done()]
        for task in self.tasks:
            task.cancelled() or (task.done() and task.exception())
        self.runner.close()
        assert not waiting, "a waiter was forgotten"


TestFixedWindowAlone = FixedWindowAlone.TestCase
TestAnyServer = AnyServer.TestCase
