"""Faults on command: which request goes wrong, and how.

This file decides; ``striking.py`` carries out. A fault strikes before anything of the request is
looked at (no quota spent, nothing executed), or with ``after=True`` once the handler has acted (the
command was executed, its answer is lost).
"""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from random import Random
from typing import Any, Literal, get_args

import attrs

from .choices import one_of
from .fleet.rng import seeded

FaultKind = Literal["status", "html", "cut", "reset", "stall", "garbage", "empty"]


def _upper(text: str | None) -> str | None:
    return None if text is None else text.upper()


def _copied(headers: Mapping[str, str]) -> Mapping[str, str]:
    return dict(headers)


@attrs.define(kw_only=True, eq=False)
class Fault:
    """A fault and how often it has struck.

    ``kind``: ``status`` (an answer with ``status``, 500 by default; ``body`` as text, bytes or JSON
    value, the generation's own error shape by default; ``headers``), ``html`` (a proxy's page with
    ``status``, 502 by default), ``cut`` (the body ends early, the connection closes), ``reset``
    (the connection is reset without an answer), ``stall`` (nothing for ``seconds``, or until
    released when None; then all goes on as usual), ``garbage`` (200 with text that is not JSON),
    ``empty`` (200 without a body).

    Which requests: ``route`` is a route's name, or a pattern of a path that begins with a slash
    (``/v1/*``); None is every route. ``method`` is one verb or None. Of those that fit, the first
    ``skip`` pass, then each is struck with ``probability`` until ``count`` were (None: for ever).
    ``after``: the handler runs first, so that a command is executed whose answer is then spoiled;
    otherwise it never runs. ``struck`` counts.
    """

    kind: FaultKind = attrs.field(validator=one_of(get_args(FaultKind)))
    route: str | None = None
    method: str | None = attrs.field(default=None, converter=_upper)
    count: int | None = 1
    probability: float = attrs.field(
        default=1.0, validator=[attrs.validators.ge(0.0), attrs.validators.le(1.0)]
    )
    skip: int = attrs.field(default=0, validator=attrs.validators.ge(0))
    after: bool = False
    status: int | None = None
    body: Any = None
    headers: Mapping[str, str] = attrs.field(factory=dict, converter=_copied)
    seconds: float | None = None
    struck: int = attrs.field(default=0, init=False)
    _passed: int = attrs.field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        if self.count is not None and self.count < 1:
            raise ValueError(f"count={self.count}: how often to strike, 1 or more, or None")
        if self.status is not None and not 200 <= self.status <= 599:
            raise ValueError(f"status={self.status}: an answer's status lies within 200 and 599")

    def fits(self, route: str | None, path: str, method: str) -> bool:
        """Whether a request is one of those that this fault concerns."""
        if self.method not in (None, method):
            return False
        if self.route is None:
            return True
        if self.route.startswith("/"):
            return fnmatchcase(path, self.route)
        return self.route == route

    def strikes(self, rng: Random) -> bool:
        """Whether it strikes a request that fits, by chance of ``rng``; counts it."""
        if self.count is not None and self.struck >= self.count:
            return False
        if self._passed < self.skip:
            self._passed += 1
            return False
        if self.probability < 1.0 and rng.random() >= self.probability:
            return False
        self.struck += 1
        return True

    @property
    def spent(self) -> bool:
        """Whether it has struck as often as it should."""
        return self.count is not None and self.struck >= self.count

    def as_json(self) -> dict[str, Any]:
        """The fault as it is given out at the control address."""
        body = self.body.decode("utf-8", "replace") if isinstance(self.body, bytes) else self.body
        return {
            "kind": self.kind,
            "route": self.route,
            "method": self.method,
            "count": self.count,
            "probability": self.probability,
            "skip": self.skip,
            "after": self.after,
            "status": self.status,
            "body": body,
            "headers": dict(self.headers),
            "seconds": self.seconds,
            "struck": self.struck,
        }


class Faults:
    """The faults in force, oldest first; at most one strikes a request."""

    def __init__(self, seed: int | str, route_names: frozenset[str]) -> None:
        self._rng = seeded(seed, "faults")
        self._names = route_names
        self.active: list[Fault] = []

    def add(self, fault: Fault) -> Fault:
        """Put a fault in force; ``ValueError`` for a route that does not exist."""
        route = fault.route
        if route is not None and not route.startswith("/") and route not in self._names:
            known = ", ".join(sorted(self._names))
            raise ValueError(
                f"route={route!r}: no such route; known are {known}, or a path pattern like /v1/*"
            )
        self.active.append(fault)
        return fault

    def pick(self, route: str | None, path: str, method: str) -> Fault | None:
        """The fault that strikes this request, if any."""
        for fault in self.active:
            if fault.fits(route, path, method) and fault.strikes(self._rng):
                if fault.spent:
                    self.active.remove(fault)
                return fault
        return None

    def clear(self) -> None:
        """Put every fault out of force."""
        self.active.clear()
