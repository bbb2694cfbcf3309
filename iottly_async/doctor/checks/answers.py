"""How answers are written: times (D5, D7), fields (D8), values, bodies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from ...codec import DOCUMENTED_TIMES, AnswerForms, AnswerKind
from ...wire import one_line
from ..evidence import Evidence, Exchange
from ..findings import Finding, Verdict, compared, finding, unknown

_NAMES: Final = {
    "page": "pages",
    "history": "history",
    "devices": "devices",
    "fleet": "fleet",
}
_MOST_NAMES: Final = 8
_LONGEST_NAME: Final = 60


def check_answers(evidence: Evidence) -> Iterator[Finding]:
    """Describe the answers that list devices and messages, by names and forms."""
    described = dict(_described(evidence))
    if not described:
        why = evidence.why_not(evidence.devices)
        for check, decision in (
            ("times in answers", "D5, D7"),
            ("fields", "D8"),
            ("values", "D8"),
            ("bodies", None),
        ):
            yield unknown(check, decision, why)
        return
    yield _times(described)
    yield _fields(described)
    yield _values(described)
    yield _bodies(evidence, described)


def _described(evidence: Evidence) -> Iterator[tuple[AnswerKind, AnswerForms]]:
    newest = evidence.newest.get(evidence.device_id)
    asked: tuple[tuple[AnswerKind, Exchange | None], ...] = (
        ("page", newest),
        ("history", evidence.latest),
        ("devices", evidence.devices),
        ("fleet", evidence.fleet),
    )
    for kind, exchange in asked:
        forms = evidence.forms_of(exchange, kind)
        if forms is not None:
            yield kind, forms


def _times(described: dict[AnswerKind, AnswerForms]) -> Finding:
    check = "times in answers"
    shown = {kind: forms.times for kind, forms in described.items() if forms.times}
    if not shown:
        return unknown(check, "D5, D7", "no answer has a time")
    odd = {kind: set(times) - DOCUMENTED_TIMES[kind] for kind, times in shown.items()}
    return compared(
        check,
        "D5, D7",
        not any(odd.values()),
        "as documented",
        _listed({kind: forms for kind, forms in odd.items() if forms}) + "; all are read",
    )


def _fields(described: dict[AnswerKind, AnswerForms]) -> Finding:
    parts = []
    for what, attribute in (
        ("not documented", "unnamed"),
        ("missing", "missing"),
        ("always null", "null"),
        ("not readable", "unreadable"),
    ):
        found = {kind: getattr(forms, attribute) for kind, forms in described.items()}
        if any(found.values()):
            parts.append(f"{what} in {_listed({k: v for k, v in found.items() if v})}")
    if any(forms.plain_ids for forms in described.values()):
        parts.append("ids of messages are texts")
    return compared("fields", "D8", not parts, "as documented", "; ".join(parts))


def _values(described: dict[AnswerKind, AnswerForms]) -> Finding:
    parts = []
    found = {kind: forms.unknown_values for kind, forms in described.items()}
    if any(found.values()):
        parts.append(f"not documented in {_listed({k: v for k, v in found.items() if v})}")
    if any(forms.other_case for forms in described.values()):
        parts.append("ids of devices are in another case than asked for")
    return compared("values", "D8", not parts, "as documented", "; ".join(parts))


def _bodies(evidence: Evidence, described: dict[AnswerKind, AnswerForms]) -> Finding:
    parts = []
    types = {
        each.answer.headers.get("content-type", "").partition(";")[0].strip().lower()
        for each in evidence.exchanges
        if each.answer is not None and each.succeeded
    }
    others = sorted(kind for kind in types if not kind.endswith(("/json", "+json")))
    parts += [f"labelled {_short(kind)}" if kind else "not labelled" for kind in others]
    if any(forms.byte_order_mark for forms in described.values()):
        parts.append("with a byte order mark")
    if any(forms.floats for forms in described.values()):
        parts.append("with whole numbers as floats")
    if parts:
        return finding("bodies", None, Verdict.DIFFERS, f"JSON, {', '.join(parts)}; all are read")
    return finding("bodies", None, Verdict.OK, "JSON, labelled as such")


def _listed(named: dict[AnswerKind, Iterable[str]]) -> str:
    """Names by the answer that has them, cut where a service has very many or long ones."""
    texts = []
    for kind, names in named.items():
        short = [_short(name) for name in sorted(names)]
        more = f" and {len(short) - _MOST_NAMES} more" if len(short) > _MOST_NAMES else ""
        texts.append(f"{_NAMES[kind]}: {', '.join(short[:_MOST_NAMES])}{more}")
    return "; ".join(texts)


def _short(name: str) -> str:
    """A name of the service's, fit for one line."""
    return one_line(name)[:_LONGEST_NAME]
