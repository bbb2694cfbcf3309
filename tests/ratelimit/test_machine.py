"""The arithmetic against a model of a server, driven by whatever hypothesis thinks of.

Tickets are granted at any time; requests arrive late, or never; answers come in any
order, or never; time passes within and over windows; both clocks may be wrong. The
model server is independent of the code under test.
"""

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

from iottly_async.ratelimit.bucket import Bucket, Ticket

EPOCH = 1_767_225_600.0


@dataclass
class Request:
    """A request of ours between its granting and its end."""

    ticket: Ticket
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
        """A server, two clocks that may be wrong, and a bucket that knows nothing."""
        self.limit, self.window, self.reserve = limit, window, reserve
        self.now = 1000.0 + phase
        self.server_ahead, self.wall_ahead = server_ahead, wall_ahead
        self.bucket = Bucket(spread=False, reserve=reserve, tier=None, random=lambda: 0.5)
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
        """Somebody wants a turn; where there is none, the bucket says when or on what it hangs."""
        ticket = self.bucket.take_at_once() or self.bucket.take(self.now, self.wall(), waiting)
        if ticket is None:
            turn = self.bucket.next_turn(self.now, self.wall(), waiting)
            assert turn is not None or self.in_flight > 0, "nothing would ever wake the queue"
            assert turn is None or turn >= self.now
            return Request(Ticket(), 0, 0)
        self.in_flight += 1
        return Request(ticket, ticket.number, self.heard_of)

    @rule(request=requests)
    def arrive(self, request: Request) -> None:
        """The request reaches the server."""
        if request.number and request.headers is None:
            self.count(request)

    @rule(request=consumes(requests))
    def answer(self, request: Request) -> None:
        """The answer reaches the client, in whatever order."""
        if not request.number:
            return
        if request.headers is None:
            self.count(request)
        assert request.headers is not None
        self.in_flight -= 1
        self.heard_of = max(self.heard_of, request.window)
        if not self.bucket.repeats(request.ticket, request.status, request.headers, self.now):
            self.bucket.answered(
                request.ticket, request.status, request.headers, self.now, self.wall()
            )

    @rule(request=consumes(requests))
    def lose(self, request: Request) -> None:
        """The connection breaks: before or after the server counted the request."""
        if request.number:
            self.in_flight -= 1
            self.vanished_in.add(request.window)
            self.bucket.lost(request.ticket, self.now)

    @rule(request=consumes(requests))
    def cancel(self, request: Request) -> None:
        """The caller is cancelled before anything was sent."""
        if request.number:
            self.in_flight -= 1
            if request.headers is None:
                self.bucket.unused(request.ticket)
            else:
                self.vanished_in.add(request.window)
                self.bucket.lost(request.ticket, self.now)

    @rule(seconds=st.floats(0.001, 2.0))
    def wait_a_little(self, seconds: float) -> None:
        """Time passes."""
        self.now += seconds

    @precondition(lambda self: self.in_flight == 0)
    @rule()
    def sleep_until_the_next_turn(self) -> None:
        """As the timer would: until the bucket says that there can be a turn."""
        turn = self.bucket.next_turn(self.now, self.wall(), 1)
        assert turn is not None
        self.now = max(self.now, turn)

    @invariant()
    def nothing_was_refused(self) -> None:
        """Alone on the key, whatever is granted is taken."""
        if hasattr(self, "bucket"):
            assert not self.refused

    @invariant()
    def tickets_are_conserved(self) -> None:
        """What was granted and is not over is what the callers hold."""
        if hasattr(self, "bucket"):
            assert self.bucket.granted - self.bucket.ended == self.in_flight


TestFixedWindowAlone = FixedWindowAlone.TestCase
