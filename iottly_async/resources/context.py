"""What every resource is given: how to make a call, and what walks and followers need."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from attrs import frozen

from ..clock import Clock
from ..codec import Answers
from ..config import Seconds, seconds
from ..pipeline import Hooks, Pipeline, Requester
from ..walk import Quirks
from ..wire import Request, Route, target

T = TypeVar("T")


@frozen(kw_only=True)
class Context:
    """What the resources of one session, or of one view of it, have in common.

    Attributes:
        requester: makes calls.
        pipeline: of the session: its settings, its quota, and waits that end with it.
        answers: reads the bodies of answers.
        clock: gives the time.
        timeout: seconds that a call may take, of the session or the view.
        hooks: of the session and the view.
        quirks: what walks have learned of the server.
    """

    requester: Requester
    pipeline: Pipeline
    answers: Answers
    clock: Clock
    timeout: float
    hooks: tuple[Hooks, ...]
    quirks: Quirks

    def patience(self, given: Seconds | None) -> float:
        """The patience of work that goes by itself: as given, or `Config.patience` for None.

        Raises:
            ConfigurationError: it is negative, or no number of seconds.
        """
        if given is None:
            return self.pipeline.config.patience
        return seconds(given, name="patience", zero=True, endless=True)

    async def call(
        self,
        route: Route,
        path: Sequence[str],
        read: Callable[[bytes], T],
        *,
        query: Sequence[tuple[str, str]] = (),
        body: bytes | None = None,
        patience: float | None = None,
    ) -> T:
        """Make one call, and read its answer's body.

        Args:
            route: which call.
            path: its segments below the generation, percent-encoded.
            read: turns the body of a success into the result.
            query: names and values; none by default.
            body: JSON to send; None sends none.
            patience: as in `Requester.call`; None for a call that somebody waits for.
        """
        address = target(route.generation, path, query)
        return await self.requester.call(
            Request(route, address, lambda answer: read(answer.body), body), patience=patience
        )
