"""A bucket, driven by hand: a clock that is set, and answers that are written out."""

from email.utils import formatdate

from iottly_async.ratelimit.bucket import Bucket, Permit

EPOCH = 1_767_225_600


class Driver:
    """Grants and ends tickets of one bucket at the time `now`.

    The server's clock is the right one: ``EPOCH + now``.
    """

    def __init__(
        self, *, spread: bool = False, reserve: float = 0, tier: int | None = None
    ) -> None:
        self.bucket = Bucket(spread=spread, reserve=reserve, tier=tier, random=lambda: 0.0)
        self.now = 100.0

    def grant(self, waiting: int = 1) -> Permit | None:
        """A ticket, if one may go."""
        return self.bucket.take_at_once() or self.bucket.take(self.now, EPOCH + self.now, waiting)

    def grant_all(self, most: int = 10_000) -> list[Permit]:
        """As many tickets as may go now."""
        tickets: list[Permit] = []
        while len(tickets) < most and (ticket := self.grant()) is not None:
            tickets.append(ticket)
        return tickets

    def answer(
        self,
        ticket: Permit,
        remaining: int | None = None,
        *,
        status: int = 200,
        limit: int = 60,
        reset: float = 120,
        **fields: str,
    ) -> None:
        """The ticket's answer is here; without `remaining` it says nothing of the quota."""
        headers = {name.replace("_", "-"): value for name, value in fields.items()}
        headers.setdefault("date", formatdate(int(EPOCH + self.now), usegmt=True))
        if remaining is not None:
            headers["x-ratelimit-limit"] = str(limit)
            headers["x-ratelimit-remaining"] = str(remaining)
            headers["x-ratelimit-reset"] = str(EPOCH + reset)
        self.bucket.answered(ticket, status, headers, self.now, EPOCH + self.now)

    def turn(self, waiting: int = 1) -> float | None:
        """When there is the next turn."""
        return self.bucket.next_turn(self.now, EPOCH + self.now, waiting)

    def earliest(self, position: int) -> float:
        """The soonest that the so-manieth in line can go."""
        return self.bucket.earliest(position, self.now, EPOCH + self.now)

    def begin(self, remaining: int, *, limit: int = 60, reset: float = 120) -> None:
        """Let the first request be answered."""
        ticket = self.grant()
        assert ticket is not None
        self.answer(ticket, remaining, limit=limit, reset=reset)
