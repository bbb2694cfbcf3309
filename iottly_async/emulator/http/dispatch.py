"""The way of a request: host, fault, credential, quota, handler, answer.

Every step is small and in this order; what a step refuses, no later step sees.
"""

import asyncio
from email.utils import formatdate

from aiohttp import web

from ..faults import Fault
from ..quota import Verdict
from ..world import World
from .answers import V1, V1_0, Refusal, refuse
from .call import Call
from .control import CONTROL, Control
from .inject import strike
from .routes import Match, Router, generation_of

_CREDENTIALS = {V1_0: ("Authentication", "bearer "), V1: ("Authorization", "Bearer ")}


class Dispatcher:
    """The handler of every request that comes in; ``hosts`` are the accepted ``Host`` headers."""

    def __init__(self, world: World, hosts: frozenset[str]) -> None:
        self._world = world
        self._hosts = hosts
        self._router = Router()
        self._control = Control(world)
        self._date = (0, "")

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        path = request.rel_url.raw_path
        if request.headers.get("Host", "").lower() not in self._hosts:
            answer: web.StreamResponse = refuse(None, Refusal(421, "unknown host"), 0)
        elif path.startswith(CONTROL):
            answer = await self._control.handle(request, path)
        else:
            return await self._api(request, path)
        return self._date_it(answer)

    async def _api(self, request: web.BaseRequest, path: str) -> web.StreamResponse:
        world = self._world
        generation = generation_of(path)
        match = self._router.match(request.method, path)
        name = match.route and match.route.name
        record = world.journal.enter(
            time=world.clock.time(),
            method=request.method,
            path=path,
            query_string=request.rel_url.raw_query_string,
            generation=generation,
            route=name,
        )
        call = Call(world=world, request=request, params=match.params, record=record)
        fault = world.faults.pick(name, path, request.method)
        record.fault = None if fault is None else fault.kind
        if fault is None:
            answer = await self._answer(call, match, generation)
        else:
            answer = await self._faulty(call, match, generation, fault)
        record.status = answer.status if fault is None or fault.kind != "reset" else None
        return answer

    async def _faulty(
        self, call: Call, match: Match, generation: str | None, fault: Fault
    ) -> web.StreamResponse:
        """What goes out where a fault strikes; a stall only keeps the real answer waiting."""
        stalls = fault.kind == "stall"
        if stalls and not fault.after:
            await self._world.stalls.wait(fault.seconds)
        answer: web.StreamResponse | None = None
        if stalls or fault.after:
            answer = await self._answer(call, match, generation)
        if stalls and fault.after:
            await self._world.stalls.wait(fault.seconds)
        if stalls and answer is not None:
            return answer
        spoiled = await strike(fault, call.request, answer, generation, call.record.number)
        return spoiled if spoiled.prepared else self._date_it(spoiled)

    async def _answer(self, call: Call, match: Match, generation: str | None) -> web.StreamResponse:
        """The API's own answer, half of the latency before it and half after."""
        low, high = self._world.settings.latency_range
        delay = self._world.chance.uniform(low, high) if high > 0 else 0.0
        if delay:
            await asyncio.sleep(delay / 2)
        verdict: Verdict | None = None
        try:
            key = self._credential(call, generation)
            verdict = self._world.quotas.take(key, self._world.clock.time())
            call.record.refused = verdict is not None and not verdict.admitted
            answer = await self._handle(call, match)
        except Refusal as refusal:
            answer = refuse(generation, refusal, call.record.number)
        if verdict is not None and not answer.prepared:
            self._show_limit(answer, verdict, generation)
        if not answer.prepared:
            self._date_it(answer)
        if delay:
            await asyncio.sleep(delay / 2)
        return answer

    async def _handle(self, call: Call, match: Match) -> web.StreamResponse:
        if call.record.refused:
            raise Refusal(429, "rate limit exceeded, try again later")
        if match.allowed:
            allow = {"Allow": ", ".join(match.allowed)}
            raise Refusal(405, "method not allowed", headers=allow)
        if match.route is None:
            raise Refusal(404, "no such address")
        project = match.params.get("project")
        if project is not None and project != self._world.fleet.project_id:
            raise Refusal(403, "no access to this project")
        call.record.acted = True
        return await match.route.handler(call)

    def _credential(self, call: Call, generation: str | None) -> str:
        """The key of a request, from its generation's own header; refused with 401."""
        if generation is None:
            raise Refusal(404, "no such address: paths begin with /v1.0/ or /v1/")
        header, scheme = _CREDENTIALS[generation]
        value = call.request.headers.get(header)
        if value is None:
            raise Refusal(401, f"missing token: send it in the {header} header")
        if not value.startswith(scheme):
            raise Refusal(401, f"malformed token: the {header} header begins with {scheme!r}")
        key = value.removeprefix(scheme)
        if key not in self._world.settings.api_keys:
            raise Refusal(401, "invalid token")
        call.record.authorized = True
        return key

    def _show_limit(
        self, answer: web.StreamResponse, verdict: Verdict, generation: str | None
    ) -> None:
        settings = self._world.settings
        if generation == V1 or settings.rate_headers_v10:
            headers = verdict.headers(
                self._world.clock.time(),
                rounding=settings.reset_rounding,
                retry_after=settings.retry_after,
            )
            answer.headers.update(headers)

    def _date_it(self, answer: web.StreamResponse) -> web.StreamResponse:
        second = int(self._world.clock.time())
        if second != self._date[0]:
            self._date = (second, formatdate(second, usegmt=True))
        answer.headers["Date"] = self._date[1]
        answer.headers["Server"] = "iottly-emulator"
        return answer
