"""The way of a request: host, outage, fault, credential, quota, handler, answer.

The steps run in this order. A request that one step refuses does not reach the next.
"""

import asyncio
from email.utils import formatdate

from aiohttp import web

from ..aio import reset_connection
from ..faults import Fault
from ..outage import ServiceOutage
from ..quota import QuotaDecision
from ..records import RequestRecord
from ..state import EmulatorState
from .answers import V1, V1_0, HttpError, error_answer, proxy_page
from .call import Call
from .control import CONTROL, Control
from .hosts import ControlGuard, HostCheck
from .inject import inject
from .routes import Match, Router, generation_of

_CREDENTIALS = {V1_0: ("Authentication", "bearer "), V1: ("Authorization", "Bearer ")}


class Dispatcher:
    """Handles every request; ``address`` is where the emulator listens."""

    def __init__(self, state: EmulatorState, address: tuple[str, int]) -> None:
        self._state = state
        self._hosts = HostCheck(state.settings, address)
        self._router = Router()
        self._control = Control(state, ControlGuard(state.settings, self._hosts))
        self._date = (0, "")

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        path = request.rel_url.raw_path
        try:
            self._hosts.check(request)
        except HttpError as error:
            return self._add_date(error_answer(None, error, 0))
        if path.startswith(CONTROL):
            return self._add_date(await self._control.handle(request, path))
        return await self._handle_api(request, path)

    async def _handle_api(self, request: web.BaseRequest, path: str) -> web.StreamResponse:
        """Record a request to the API and answer it, with a fault if one is due."""
        state = self._state
        match = self._router.match(request.method, path)
        route = None if match.route is None else match.route.name
        outage = state.outages.present
        fault = None if outage else state.faults.select(route, path, request.method)
        record = RequestRecord(
            time=state.clock.time(),
            method=request.method,
            path=path,
            query_string=request.rel_url.raw_query_string,
            generation=generation_of(path),
            route=route,
            fault="outage" if outage else None if fault is None else fault.kind,
        )
        state.records.add_request(record)
        if outage is not None:
            return await self._answer_in_outage(request, record, outage)
        call = Call(state=state, request=request, params=match.params, record=record, fault=fault)
        if fault is None:
            answer = await self._answer(call, match)
        else:
            answer = await self._answer_with_fault(call, match, fault)
        record.status = None if fault is not None and fault.kind == "reset" else answer.status
        return answer

    async def _answer_in_outage(
        self, request: web.BaseRequest, record: RequestRecord, outage: ServiceOutage
    ) -> web.StreamResponse:
        """What is sent while the service is away; most often the connection is reset."""
        if outage.kind == "html":
            record.status = outage.status
            headers = {"Retry-After": str(outage.retry_after)}
            return self._add_date(
                proxy_page(outage.status, headers if outage.retry_after is not None else None)
            )
        if outage.kind == "hang":
            await self._state.outages.until_end()
        reset_connection(request.transport)
        return web.Response(status=500)

    async def _answer_with_fault(
        self, call: Call, match: Match, fault: Fault
    ) -> web.StreamResponse:
        """What is sent if a fault is injected; some kinds only delay or change the answer."""
        if fault.kind == "stall":
            if not fault.after:
                await self._state.stalled.wait(fault.seconds)
            answer = await self._answer(call, match)
            if fault.after:
                await self._state.stalled.wait(fault.seconds)
            return answer
        if fault.kind in ("date", "row"):
            answer = await self._answer(call, match)
            if fault.kind == "date" and not answer.prepared:
                self._forge_date(answer, fault)
            return answer
        usual = await self._answer(call, match) if fault.after else None
        faulty = await inject(fault, call, usual)
        return faulty if faulty.prepared else self._add_date(faulty)

    async def _answer(self, call: Call, match: Match) -> web.StreamResponse:
        """The usual answer, after half of the latency and before the other half."""
        low, high = self._state.settings.latency_range
        delay = self._state.rng.uniform(low, high) if high > 0 else 0.0
        if delay:
            await asyncio.sleep(delay / 2)
        record = call.record
        decision: QuotaDecision | None = None
        try:
            key = self._authorize(call)
            decision = self._state.quotas.take(key, self._state.clock.time())
            record.refused = decision is not None and not decision.admitted
            answer = await self._call_handler(call, match)
        except HttpError as error:
            answer = self._refusal(error, record)
        if not answer.prepared:
            if decision is not None:
                self._add_limit(answer, decision, record.generation)
            self._add_date(answer)
        if delay:
            await asyncio.sleep(delay / 2)
        return answer

    def _authorize(self, call: Call) -> str:
        """The request's API key, from the header of its generation; 401 without a valid one."""
        generation = call.record.generation
        if generation is None:
            raise HttpError(404, "no such address: paths begin with /v1.0/ or /v1/")
        header, scheme = _CREDENTIALS[generation]
        value = call.request.headers.get(header)
        if value is None:
            raise HttpError(401, f"missing token: send it in the {header} header")
        if not value.startswith(scheme):
            raise HttpError(401, f"malformed token: the {header} header begins with {scheme!r}")
        key = value.removeprefix(scheme)
        if key not in self._state.settings.api_keys:
            raise HttpError(401, "invalid token")
        call.record.authorized = True
        return key

    async def _call_handler(self, call: Call, match: Match) -> web.StreamResponse:
        """Run the route's handler, unless quota, path or project refuse the request."""
        if call.record.refused:
            status = self._state.settings.refusal_status
            raise HttpError(status, "rate limit exceeded, try again later", code="rate_limited")
        if match.allowed:
            allow = {"Allow": ", ".join(match.allowed)}
            raise HttpError(405, "method not allowed", headers=allow)
        if match.route is None:
            raise HttpError(404, "no such address")
        project = match.params.get("project")
        if project is not None and project != self._state.fleet.project_id:
            raise HttpError(403, "no access to this project")
        call.record.handled = True
        return await match.route.handler(call)

    def _refusal(self, error: HttpError, record: RequestRecord) -> web.Response:
        """The answer to a request that ended with an error, in the form that the settings want."""
        if record.refused and self._state.settings.refusal_body == "html":
            return proxy_page(error.status)
        return error_answer(record.generation, error, record.number)

    def _add_limit(
        self, answer: web.StreamResponse, decision: QuotaDecision, generation: str | None
    ) -> None:
        """Add the limit headers, if the settings want them on this generation."""
        settings = self._state.settings
        if settings.rate_headers == "both" or (settings.rate_headers, generation) == ("v1", V1):
            answer.headers.update(decision.headers(settings.reset_rounding))
        if settings.retry_after and not decision.admitted:
            answer.headers["Retry-After"] = decision.retry_after(self._state.clock.time())

    def _forge_date(self, answer: web.StreamResponse, fault: Fault) -> None:
        """Set the ``Date`` of a fault."""
        if fault.seconds is not None:
            shown = self._state.clock.time() + fault.seconds
            answer.headers["Date"] = formatdate(shown, usegmt=True)
        answer.headers.update(fault.headers)

    def _add_date(self, answer: web.StreamResponse) -> web.StreamResponse:
        up = self._state.settings.date_rounding == "up"
        second = int(self._state.clock.time()) + up
        if second != self._date[0]:
            self._date = (second, formatdate(second, usegmt=True))
        answer.headers["Date"] = self._date[1]
        answer.headers["Server"] = "iottly-emulator"
        return answer
