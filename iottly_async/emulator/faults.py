"""Fault injection, the decisions: into which request a fault is injected, and which fault.

``http/inject.py`` carries a fault out. A fault is injected before anything of the request is
looked at, so no quota is spent and nothing is executed; with ``after=True`` it is injected once
the handler has run, so a command is executed and its answer is lost.
"""

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from random import Random
from typing import Any, Literal, get_args

import attrs

from .rows import raw_text
from .settings import MAX_SECONDS, copied, number, one_of, seeded_random, whole

_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\xa0-\xff]*")

FaultKind = Literal["status", "html", "cut", "reset", "stall", "garbage", "empty", "date", "row"]


def _upper(text: str | None) -> str | None:
    return text.upper() if isinstance(text, str) else text


_text_or_none = attrs.validators.optional(attrs.validators.instance_of(str))


def _sendable(_: Any, attribute: "attrs.Attribute[Any]", headers: Mapping[str, str]) -> None:
    """A validator for headers that can be sent."""
    for name, value in headers.items():
        texts = isinstance(name, str) and isinstance(value, str)
        if not texts or not _HEADER.fullmatch(name) or not _VALUE.fullmatch(value):
            raise ValueError(f"{attribute.name}: {name!r} cannot be a header with {value!r}")


@attrs.define(kw_only=True, eq=False)
class Fault:
    """A fault, the requests it is meant for, and how often it was injected.

    The kinds are:

    - ``status``: an answer with ``status``, ``body`` and ``headers``.
    - ``html``: a proxy's HTML page with ``status`` and ``headers``.
    - ``cut``: the body ends early, then the connection closes.
    - ``reset``: the connection is reset without an answer.
    - ``stall``: nothing happens for ``seconds``; then the request goes on as usual.
    - ``garbage``: 200 with a text that is not JSON.
    - ``empty``: 200 without a body.
    - ``date``: the usual answer, but its ``Date`` is ``seconds`` ahead of the server's clock; its
      other ``headers`` are set as well, so that ``Date`` can be any text.
    - ``row``: the usual answer of the routes ``paginated`` and ``history``, but ``body`` stands in
      place of one of its messages. An answer without that message stays as it is.

    Attributes:
        kind: What goes wrong; see above.
        route: A route's name, or a path pattern that begins with a slash, such as ``/v1/*``. None,
            the default, is every route.
        method: An HTTP method. None, the default, is every method.
        count: Into how many requests the fault is injected; 1 by default. None: into all.
        probability: With which probability it is injected into a matching request; 1 by default.
        skip: How many matching requests pass before the first; 0 by default.
        after: Whether the handler runs first. False by default: the handler never runs.
        status: The answer's status. None, the default, is 500, and 502 for ``html``.
        body: The answer's body: text, bytes or a JSON value. None, the default, is the
            generation's own error shape. For ``row``, what stands in place of the message: a JSON
            value, or bytes that are sent as they are; None is a text where an object belongs.
        headers: The answer's headers; none by default.
        seconds: How long a stall lasts. None, the default, is until it is released. For ``date``,
            how far the date is ahead; negative is behind.
        row: For ``row``, which message of the answer: 0, the default, is the first, -1 the last.
        injected: How often the fault was injected so far.
    """

    kind: FaultKind = attrs.field(validator=one_of(get_args(FaultKind)))
    route: str | None = attrs.field(default=None, validator=_text_or_none)
    method: str | None = attrs.field(default=None, converter=_upper, validator=_text_or_none)
    count: int | None = attrs.field(default=1, validator=whole(1, none=True))
    probability: float = attrs.field(default=1.0, validator=number(0, 1))
    skip: int = attrs.field(default=0, validator=whole(0))
    after: bool = False
    status: int | None = attrs.field(default=None, validator=whole(200, 599, none=True))
    body: Any = None
    headers: Mapping[str, str] = attrs.field(factory=dict, converter=copied, validator=_sendable)
    seconds: float | None = attrs.field(default=None, validator=number(-MAX_SECONDS, none=True))
    row: int = attrs.field(default=0, validator=whole(-1_000, 1_000))
    injected: int = attrs.field(default=0, init=False)
    _passed: int = attrs.field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        if self.kind == "date" and self.seconds is None and not self.headers:
            raise ValueError("date: needs seconds or headers")
        if self.kind != "date" and self.seconds is not None and self.seconds < 0:
            raise ValueError(f"seconds={self.seconds}: must be 0 or more")
        if isinstance(self.body, str):
            self.body.encode()  # what cannot be sent is refused now
        elif self.kind == "row" or not isinstance(self.body, bytes):
            raw_text(self.body)

    def matches(self, route: str | None, path: str, method: str) -> bool:
        """Whether a request is one that this fault is meant for.

        Args:
            route: The request's route. None: no route matches its path.
            path: The request's path.
            method: The request's method.

        Returns:
            True if route and method match; counts nothing.
        """
        if self.method not in (None, method):
            return False
        if self.kind == "row" and route not in ("paginated", "history"):
            return False
        if self.route is None:
            return True
        if self.route.startswith("/"):
            return fnmatchcase(path, self.route)
        return self.route == route

    def should_inject(self, rng: Random) -> bool:
        """Decide whether to inject the fault into a matching request, and count it.

        Args:
            rng: Where the chance comes from if ``probability`` is less than 1.

        Returns:
            True if the fault must be injected.
        """
        if self.exhausted:
            return False
        if self._passed < self.skip:
            self._passed += 1
            return False
        if self.probability < 1.0 and rng.random() >= self.probability:
            return False
        self.injected += 1
        return True

    def row_text(self) -> str:
        """What stands in place of a message, if ``kind`` is ``row``.

        Returns:
            ``body`` as it is sent.
        """
        return raw_text("a text where a message belongs" if self.body is None else self.body)

    @property
    def exhausted(self) -> bool:
        """Whether the fault was injected ``count`` times."""
        return self.count is not None and self.injected >= self.count

    def as_json(self) -> dict[str, Any]:
        """The fault as the control address shows it.

        Returns:
            The attributes, all of them JSON values.
        """
        shown = attrs.asdict(self, filter=lambda field, _: not field.name.startswith("_"))
        if isinstance(self.body, bytes):
            shown["body"] = self.body.decode("utf-8", "replace")
        return shown


class Faults:
    """The faults that are active, oldest first; at most one is injected into a request."""

    def __init__(self, seed: int | str, route_names: frozenset[str]) -> None:
        self._rng = seeded_random(seed, "faults")
        self._names = route_names
        self.active: list[Fault] = []

    def add(self, fault: Fault) -> Fault:
        """Activate a fault; ``ValueError`` if it names a route that does not exist."""
        route = fault.route
        if route is not None and not route.startswith("/") and route not in self._names:
            known = ", ".join(sorted(self._names))
            raise ValueError(
                f"route={route!r}: no such route; there are {known}, or a path pattern like /v1/*"
            )
        self.active.append(fault)
        return fault

    def select(self, route: str | None, path: str, method: str) -> Fault | None:
        """The fault to inject into a request; None if there is none."""
        for fault in self.active:
            if fault.matches(route, path, method) and fault.should_inject(self._rng):
                if fault.exhausted:
                    self.active.remove(fault)
                return fault
        return None

    def clear(self) -> None:
        """Remove every fault."""
        self.active.clear()
