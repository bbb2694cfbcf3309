"""Reads an answer's limit headers into an observation. Pure.

Three spellings are known; the first that is complete wins:

- `X-RateLimit-Limit`, `-Remaining`, `-Reset`, which the service documents. Reset is in epoch
  seconds; milliseconds and delta seconds are recognised by their size.
- `RateLimit` and `RateLimit-Policy`, the IETF draft's structured fields
  (`"default";r=50;t=30` with `"default";q=100;w=60`), and its single-line ancestor
  (`limit=100, remaining=50, reset=30`).
- `RateLimit-Limit`, `-Remaining`, `-Reset`, the draft's older three fields, in delta seconds.

Headers that do not parse are ignored; they are never an error.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from math import isfinite
from typing import NamedTuple

__all__ = ["Observation", "ObservationReader", "read_observation"]

_DELTA_BELOW = 1e8
"""A Reset below this is in delta seconds: as an epoch it would lie before March 1973."""

_MILLISECONDS_FROM = 1e11
"""A Reset from here on is in milliseconds: as seconds it would lie after the year 5000."""

_MEMBER = re.compile(
    r'\s*(?:"(?P<quoted>[^"\\]*)"|(?P<token>[A-Za-z*][\w.:%*/-]*))(?P<rest>[^,"]*)'
)
_PARAMETER = re.compile(r";\s*([a-z*][a-z0-9_.*-]*)=([0-9.]+)")
_PAIR = re.compile(r"(limit|remaining|reset|w)\s*=\s*(\d+)")


class Observation(NamedTuple):
    """What one answer says about the quota.

    Attributes:
        limit: requests a window; None if the header does not say.
        remaining: requests left when the answer was made.
        reset: when the window ends: epoch seconds of the server's clock, or seconds
            from the answer if `relative`.
        relative: whether `reset` is in delta seconds.
        window: the window's length in seconds; None if the server does not say.
    """

    limit: int | None
    remaining: int
    reset: float
    relative: bool = False
    window: float | None = None


@lru_cache(maxsize=2048)
def whole_number(text: str | None) -> int | None:
    """Plain ASCII digits as an int; None for anything else (signs, spaces, thousands of digits)."""
    if text is not None and len(text) < 19 and text.isascii() and text.isdigit():
        return int(text)
    return None


@lru_cache(maxsize=256)
def _number(text: str | None) -> float | None:
    """A plain decimal number that is not negative; None for anything else."""
    if text is None or len(text) > 32 or not text.isascii() or not text[:1].isdigit():
        return None
    if not text.replace(".", "", 1).isdigit():
        return None
    value = float(text)
    return value if isfinite(value) else None


def read_observation(headers: Mapping[str, str]) -> Observation | None:
    """Read the limit headers of one answer.

    Args:
        headers: lower-case names.

    Returns:
        None if there are none, or if they contradict each other.
    """
    if "x-ratelimit-remaining" not in headers:
        return _read_standard(headers)
    limit = whole_number(headers.get("x-ratelimit-limit"))
    remaining = whole_number(headers["x-ratelimit-remaining"])
    reset = _number(headers.get("x-ratelimit-reset"))
    if limit is None or remaining is None or reset is None or limit == 0 or remaining > limit:
        return None
    if reset >= _MILLISECONDS_FROM:
        reset /= 1000
    return Observation(limit, remaining, reset, reset < _DELTA_BELOW)


class ObservationReader:
    """Reads the limit headers of one server, whose Remaining may not count the request itself.

    Such a server shows at the beginning of a window, when the whole limit is left after a
    request. From then on one is taken off, so that `remaining` is what is left now.

    Attributes:
        leaves_out: whether Remaining does not count the request that it answers.
    """

    __slots__ = ("_last", "_limit", "_reset", "leaves_out")

    def __init__(self) -> None:
        self.leaves_out = False
        # The last Limit and Reset that were read, as texts, and what they say. Most answers
        # repeat them, and only Remaining is to be read.
        self._limit: str | None = ""
        self._reset: str | None = ""
        self._last = Observation(None, 0, 0.0)

    def read(self, status: int, headers: Mapping[str, str]) -> Observation | None:
        """Read the limit headers of an answer with this status; None if there are none."""
        observation: Observation | None
        text = headers.get("x-ratelimit-remaining")
        last, remaining = self._last, whole_number(text)
        if (
            remaining is None
            or headers.get("x-ratelimit-reset") != self._reset
            or headers.get("x-ratelimit-limit") != self._limit
        ):
            observation = self._read_anew(headers)
        elif remaining == last.remaining:
            observation = last
        elif remaining <= (last.limit or 0):
            observation = self._last = Observation(last.limit, remaining, last.reset, last.relative)
        else:
            observation = None
        if observation is None or status == 429:
            return observation
        if observation.remaining == observation.limit:
            self.leaves_out = status < 400 or self.leaves_out
        elif observation.remaining == 0:
            self.leaves_out = False
        if not self.leaves_out:
            return observation
        return observation._replace(remaining=observation.remaining - 1)

    def _read_anew(self, headers: Mapping[str, str]) -> Observation | None:
        """Read all of the headers; of the service's own, remember the texts."""
        observation = read_observation(headers)
        if observation is not None and "x-ratelimit-remaining" in headers:
            self._last = observation
            self._limit = headers.get("x-ratelimit-limit")
            self._reset = headers.get("x-ratelimit-reset")
        return observation


def _read_standard(headers: Mapping[str, str]) -> Observation | None:
    field = headers.get("ratelimit")
    if field is not None:
        return _read_structured(field, headers.get("ratelimit-policy", "")) or _read_pairs(field)
    remaining = whole_number(headers.get("ratelimit-remaining"))
    reset = _number(headers.get("ratelimit-reset"))
    if remaining is None or reset is None:
        return None
    # "100, 100;w=60": the limit, then the policies that it is made of.
    limit = whole_number(re.split(r"[,;\s]", headers.get("ratelimit-limit", ""), maxsplit=1)[0])
    return _checked(limit, remaining, reset, None)


def _read_structured(field: str, policy_field: str) -> Observation | None:
    """Read structured fields; of several policies the one with the fewest requests left counts."""
    policies = {name: values for name, values in _members(policy_field) if "q" in values}
    tightest: Observation | None = None
    for name, values in _members(field):
        if "r" not in values or "t" not in values:
            continue
        policy = policies.get(name, {})
        quota, window = policy.get("q"), policy.get("w")
        limit = int(quota) if quota is not None else None
        observation = _checked(limit, int(values["r"]), values["t"], window)
        if observation is not None and (
            tightest is None
            or (observation.remaining, -observation.reset) < (tightest.remaining, -tightest.reset)
        ):
            tightest = observation
    return tightest


def _members(field: str) -> list[tuple[str, dict[str, float]]]:
    found = []
    for member in _MEMBER.finditer(field[:2048]):
        values = {}
        for name, text in _PARAMETER.findall(member["rest"]):
            value = _number(text)
            if value is not None:
                values[name] = value
        found.append((member["quoted"] or member["token"] or "", values))
    return found


def _read_pairs(field: str) -> Observation | None:
    pairs = {name: float(text) for name, text in _PAIR.findall(field[:2048]) if len(text) < 19}
    if "remaining" not in pairs or "reset" not in pairs:
        return None
    limit = int(pairs["limit"]) if "limit" in pairs else None
    return _checked(limit, int(pairs["remaining"]), pairs["reset"], pairs.get("w"))


def _checked(
    limit: int | None, remaining: int, reset: float, window: float | None
) -> Observation | None:
    """An observation in delta seconds, unless its numbers contradict each other."""
    if reset >= _DELTA_BELOW or limit == 0 or (limit is not None and remaining > limit):
        return None
    return Observation(limit, remaining, reset, relative=True, window=window or None)
