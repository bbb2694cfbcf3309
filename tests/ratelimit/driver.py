"""A permit issuer driven by hand: the time is set, and answers are written out."""

from email.utils import formatdate

from iottly_async.ratelimit.permits import Permit, PermitIssuer

EPOCH = 1_767_225_600


class Driver:
    """Grants and ends permits of one issuer at the time `now`.

    The server's clock is right: `EPOCH + now`.
    """

    def __init__(
        self, *, spread: bool = False, reserve: float = 0, tier: int | None = None
    ) -> None:
        self.issuer = PermitIssuer(spread=spread, reserve=reserve, tier=tier, random=lambda: 0.5)
        self.now = 100.0

    def grant(self, waiting: int = 1) -> Permit | None:
        """A permit, if there is one now."""
        return self.issuer.take(self.now, EPOCH + self.now, waiting)

    def grant_all(self, most: int = 10_000) -> list[Permit]:
        """All permits that there are now, up to `most`."""
        permits: list[Permit] = []
        while len(permits) < most and (permit := self.grant()) is not None:
            permits.append(permit)
        return permits

    def answer(
        self,
        permit: Permit,
        remaining: int | None = None,
        *,
        status: int = 200,
        limit: int = 60,
        reset: float = 120,
        **fields: str,
    ) -> None:
        """Answer a permit's request; without `remaining` there are no limit headers."""
        headers = {name.replace("_", "-"): value for name, value in fields.items()}
        headers.setdefault("date", formatdate(int(EPOCH + self.now), usegmt=True))
        if remaining is not None:
            headers["x-ratelimit-limit"] = str(limit)
            headers["x-ratelimit-remaining"] = str(remaining)
            headers["x-ratelimit-reset"] = str(EPOCH + reset)
        self.issuer.answered(permit, status, headers, self.now, EPOCH + self.now)

    def next_at(self, waiting: int = 1) -> float | None:
        """When there is the next permit."""
        return self.issuer.next_at(self.now, EPOCH + self.now, waiting)

    def earliest(self, position: int) -> float:
        """The soonest that the waiter at this position can have its permit."""
        return self.issuer.earliest(position, self.now, EPOCH + self.now)

    def begin(self, remaining: int, *, limit: int = 60, reset: float = 120) -> None:
        """Answer the first request."""
        permit = self.grant()
        assert permit is not None
        self.answer(permit, remaining, limit=limit, reset=reset)
