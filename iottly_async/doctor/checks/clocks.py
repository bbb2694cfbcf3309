"""The clocks of `Date`, of the stamps and of this machine, and how late messages appear (D11)."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, inf
from typing import Final

from ..evidence import Evidence, Exchange
from ..findings import Finding, Verdict, finding, unknown

_SKEW: Final = 1.0
"""Seconds by which a clock may be off before it is a difference."""

_MARGIN: Final = 2.0
"""The factor between the lateness that was seen and `settle`: it may be later at other times."""


def check_clocks(evidence: Evidence) -> Iterator[Finding]:
    """Compare the clocks, and the newest messages at the beginning and at the end."""
    yield _clock(evidence)
    yield _stamps(evidence)
    yield _late(evidence)


def _clock(evidence: Evidence) -> Finding:
    check = "clock"
    low, high, dated, answered = -inf, inf, 0, 0
    for exchange in evidence.exchanges:
        if exchange.answer is None or exchange.is_page:
            continue
        answered += 1
        date = exchange.answer.server_time
        if date is not None:
            # Date is cut to whole seconds, and was written between sending and receiving.
            dated += 1
            low = max(low, date - (exchange.sent_at + exchange.seconds))
            high = min(high, date + 1 - exchange.sent_at)
    if not answered:
        return unknown(check, "D11", evidence.why_not(evidence.ping))
    if not dated:
        text = "no answer has a Date: this machine's clock has to be right"
        return finding(check, "D11", Verdict.DIFFERS, text)
    if low > high:
        text = "the Date of different answers contradict each other: several machines, perhaps"
        return finding(check, "D11", Verdict.DIFFERS, text)
    if low <= _SKEW and high >= -_SKEW:
        text = "the service's Date agrees with this machine's clock"
        return finding(check, "D11", Verdict.OK, text)
    ahead, off = ("ahead of", low) if low > 0 else ("behind", -high)
    text = f"the service's Date is {off:.0f} s {ahead} this machine's clock"
    return finding(check, "D11", Verdict.DIFFERS, text)


def _stamps(evidence: Evidence) -> Finding:
    check = "stamps"
    exchange = evidence.newest.get(evidence.device_id)
    rows = evidence.page_rows(exchange)
    if exchange is None or not rows or exchange.answer is None:
        return unknown(check, "D11", evidence.why_not(None))
    sampled = [*rows, *(evidence.page_rows(evidence.oldest) or [])]
    newest = max(row.at for row in sampled) / 1000
    date = exchange.answer.server_time
    received = exchange.sent_at + exchange.seconds if date is None else date + 1
    if newest > received:
        text = f"the newest message is stamped at least {newest - received:.1f} s in the future"
        return finding(check, "D11", Verdict.DIFFERS, text)
    if len(sampled) >= 10 and all(row.at % 1000 == 0 for row in sampled):
        text = "all stamps are whole seconds, so that many messages share one"
        return finding(check, "D11", Verdict.DIFFERS, text)
    text = "in milliseconds, and none is in the future"
    return finding(check, "D11", Verdict.OK, text)


def _late(evidence: Evidence) -> Finding:
    check = "late messages"
    first, again = evidence.newest.get(evidence.device_id), evidence.late
    before, after = evidence.page_rows(first), evidence.page_rows(again)
    if first is None or not before or not after:
        return unknown(check, "D11", evidence.why_not(again))
    known, oldest = set(before), min(row.at for row in before)
    new = [row.at / 1000 for row in after if row not in known and row.at > oldest]
    if not new:
        return unknown(check, "D11", "no new message arrived meanwhile")
    lateness = max(_asked_at(first) - at for at in new)
    settle = evidence.config.settle
    if lateness <= settle:
        text = f"{len(new)} new, none more than {settle:g} s after its stamp (`settle`)"
        return finding(check, "D11", Verdict.OK, text)
    text = f"a message appeared at least {lateness:.1f} s after its stamp"
    setting = ("settle", float(ceil(lateness * _MARGIN)))
    return finding(check, "D11", Verdict.DIFFERS, text, setting)


def _asked_at(exchange: Exchange) -> float:
    """When the service read the messages, by its own clock if it tells."""
    date = None if exchange.answer is None else exchange.answer.server_time
    return exchange.sent_at if date is None else date
