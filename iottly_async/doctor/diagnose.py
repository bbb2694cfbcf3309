"""The diagnosis: asks step by step, then lets the checks read what was answered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import quote, urlencode

from ..codec import Answers, fleet_query, history_filter, history_query, page_query
from ..config import TIMESTAMP_FORMATS, Seconds, TimestampFormat, seconds
from ..errors import ConfigurationError, DecodeError
from ..models._time import from_epoch_ms
from ..session import IottlySession, parts_of
from ..wire import segment
from .checks import check_all
from .choices import best_form, bound_pivot, device_order, is_enough, page_block, range_span, tied
from .evidence import Evidence, Exchange
from .findings import Diagnosis
from .plan import (
    DEVICES,
    FILTERED,
    FLEET,
    FORMS,
    LATE,
    LATEST,
    NEWEST,
    NOTHING,
    NUMBERS,
    OLDEST,
    PING,
    PROJECT,
    RANGE,
    REPEATS,
    Step,
)
from .report import sent_requests
from .sender import OutOfRequests, Sender

_DAY_MS: Final = 86_400_000
_LATEST: Final = 20


async def diagnose(
    session: IottlySession,
    project: str,
    *,
    patience: Seconds = 60.0,
    timeout: Seconds = 300.0,
    on_request: Callable[[int], object] | None = None,
) -> Diagnosis:
    """Ask a service, read-only, what its documents leave open.

    It sends at most 40 requests, one at a time and within the quota: GET, and the opening of
    the WebSocket. `plan` says which. What it cannot find out is "unknown", and it ends with
    what it knows if the service refuses, answers nonsense or goes away.

    Example:
        ```python
        diagnosis = await diagnose(session, "59c19cacecc01400075f3bc9")
        for finding in diagnosis.differences:
            print(finding.check, finding.evidence, finding.setting)
        config = attrs.evolve(session.config, **diagnosis.settings)
        ```

    Args:
        session: whose key, settings and quota are used.
        project: the project's id.
        patience: seconds, or a `timedelta`, that all waits for quota may take together. When
            they are used up, the diagnosis ends. Default 60.
        timeout: seconds, or a `timedelta`, for the whole diagnosis, which then ends with what
            it knows. Default 300.
        on_request: called with the number of requests sent so far, after each. Default None:
            nothing is called.

    Returns:
        The findings, with the settings that follow from them.

    Raises:
        ConfigurationError: an argument is not accepted; nothing was sent.
        SessionClosedError: the session was closed meanwhile.
    """
    limit = seconds(patience, name="patience", zero=True)
    time_limit = seconds(timeout, name="timeout")
    examination = _Examination(session, project, limit, time_limit, on_request)
    evidence = examination.evidence
    try:
        await examination.run()
    except OutOfRequests as ended:
        evidence.stopped = str(ended)
    return Diagnosis(
        findings=tuple(check_all(evidence)),
        requests=sent_requests(evidence),
        stopped=evidence.stopped,
    )


class _Examination:
    """Asks step by step, and puts each exchange where the checks look for it."""

    def __init__(
        self,
        session: IottlySession,
        project: str,
        patience: float,
        time_limit: float,
        on_request: Callable[[int], object] | None,
    ) -> None:
        self._project = ["project", segment(project, name="project")]
        self.evidence = Evidence(config=session.config, project_id=project)
        self._sender = Sender(*parts_of(session), self.evidence, patience, time_limit, on_request)

    async def run(self) -> None:
        """Ask everything that the answers make worth asking.

        Raises:
            OutOfRequests: the diagnosis ends early.
        """
        evidence = self.evidence
        await self._ask_access()
        if _status(evidence.ping) == _status(evidence.fleet) == 401:
            raise OutOfRequests("both generations refuse the key")
        await self._ask_devices()
        if evidence.device_id:
            await self._ask_pages()
            await self._ask_bounds()
        await self._ask_nothing()
        if evidence.device_id:
            await self._ask_history()
            evidence.late = await self._page(LATE, order="desc")
        evidence.stream = await self._sender.open_stream()

    async def _ask_access(self) -> None:
        """One request of v1.0, one of v1, one of v1.0, so that limit headers can be compared."""
        evidence, sender = self.evidence, self._sender
        evidence.ping = await sender.get(PING, ["project", "ping"])
        evidence.fleet = await sender.get(FLEET, ["devices"], _text(fleet_query(1, 100)))
        evidence.project = await sender.get(PROJECT, [*self._project, "inspect"])

    async def _ask_devices(self) -> None:
        """List the devices, and look for one that has messages enough."""
        evidence = self.evidence
        evidence.devices = await self._sender.get(DEVICES, [*self._project, "devices", "props"])
        evidence.device_ids = _device_ids(evidence.devices)
        most = 0
        for device_id in evidence.device_ids[: NEWEST.most]:
            exchange = await self._page(NEWEST, device_id=device_id, order="desc")
            evidence.newest[device_id] = exchange
            rows = evidence.page_rows(exchange) or []
            if len(rows) > most:
                most, evidence.device_id = len(rows), device_id
            if is_enough(rows):
                break

    async def _ask_pages(self) -> None:
        """Ask for the oldest messages, which do not move, and for them again by page numbers."""
        evidence = self.evidence
        evidence.oldest = await self._page(OLDEST)
        rows = evidence.page_rows(evidence.oldest) or []
        if tied(rows):
            for _ in range(REPEATS.most):
                evidence.repeats.append(await self._page(REPEATS))
                if evidence.page_rows(evidence.repeats[-1]) != rows:
                    break
        evidence.block = page_block(rows)
        if evidence.block:
            for number in (1, 2):
                page = await self._page(NUMBERS, number=number, size=evidence.block)
                evidence.numbers.append(page)

    async def _ask_bounds(self) -> None:
        """Ask for a bound in each form of time, then for both bounds in the best form."""
        evidence = self.evidence
        rows = evidence.page_rows(evidence.oldest) or []
        evidence.pivot = bound_pivot(rows)
        if evidence.pivot is None:
            return
        start = rows[evidence.pivot].at + 1
        for form in TIMESTAMP_FORMATS:
            evidence.forms[form] = await self._page(FORMS, start=start, form=form, size=10)
        form_found = best_form(evidence, rows)
        span = range_span(rows)
        if form_found is not None and span is not None:
            evidence.span = span
            evidence.range = await self._page(
                RANGE, start=rows[span.start].at, end=rows[span.stop].at, form=form_found
            )

    async def _ask_nothing(self) -> None:
        """Ask for a range without messages, unless a device without messages was asked."""
        evidence = self.evidence
        rows = evidence.page_rows(evidence.oldest)
        if not rows or any(evidence.page_rows(page) == [] for page in evidence.newest.values()):
            return
        form = best_form(evidence, rows) or evidence.config.timestamp_format
        evidence.nothing = await self._page(NOTHING, end=rows[0].at - _DAY_MS, form=form)

    async def _ask_history(self) -> None:
        """Ask for the latest messages, then for those from the middle of them on."""
        evidence = self.evidence
        path = [*self._project, "messages", segment(evidence.device_id, name="device_id")]
        evidence.latest = await self._sender.get(LATEST, path, _text(history_query(_LATEST, None)))
        rows = evidence.history_rows(evidence.latest)
        if rows:
            times = sorted(row.at for row in rows)
            evidence.filtered_from = times[len(times) // 2]
            bound = {"timestamp": {"$gte": from_epoch_ms(evidence.filtered_from)}}
            query = history_query(100, history_filter(bound))
            evidence.filtered = await self._sender.get(FILTERED, path, _text(query))

    async def _page(
        self,
        step: Step,
        *,
        device_id: str = "",
        number: int | None = None,
        size: int = 100,
        start: int | None = None,
        end: int | None = None,
        order: str = "asc",
        form: TimestampFormat = "iso",
    ) -> Exchange:
        device = segment(device_id or self.evidence.device_id, name="device_id")
        query = page_query(
            number=number, size=size, start=start, end=end, type="all", order=order, form=form
        )
        path = [*self._project, "device", device, "messages", "paginated"]
        return await self._sender.get(step, path, query)


def _text(query: Sequence[tuple[str, str]]) -> str:
    """Write the parameters of a request as they stand in the URL."""
    return urlencode(query, quote_via=quote)


def _status(exchange: Exchange | None) -> int | None:
    return None if exchange is None else exchange.status


def _device_ids(exchange: Exchange) -> list[str]:
    """The ids that can stand in a path, of an answer that lists devices."""
    if exchange.answer is None or not exchange.succeeded:
        return []
    try:
        ids = device_order(Answers().devices(exchange.answer.body))
    except DecodeError:
        return []
    return [each for each in ids if _fits_a_path(each)]


def _fits_a_path(device_id: str) -> bool:
    try:
        segment(device_id, name="device_id")
    except ConfigurationError:
        return False
    return True
