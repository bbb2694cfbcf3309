"""FastAPI: one session a worker, its errors as problems, webhooks in, live messages out.

::

    from fastapi import FastAPI
    from iottly_async import Device
    from iottly_async.integrations.fastapi import SessionDep, install, lifespan

    app = FastAPI(lifespan=lifespan())  # IOTTLY_API_KEY and IOTTLY_BASE_URL
    install(app)

    @app.get("/projects/{project_id}/devices")
    async def devices(project_id: str, session: SessionDep) -> list[Device]:
        return await session.project(project_id).devices.list()

The models are response models as they are, and stand in the OpenAPI document; so is a
`Cursor`, which can also be a query parameter or the header ``Last-Event-ID``.

In a test the session is replaced as any other dependency:
``app.dependency_overrides[get_session] = lambda: session``.

Needs the extra ``fastapi``.
"""

from __future__ import annotations

import logging
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Mapping,
)
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Annotated, Any, Final

try:
    from fastapi import APIRouter, Depends, FastAPI, Request, Response
    from fastapi.responses import JSONResponse
    from starlette.requests import HTTPConnection
except ImportError as error:
    raise ImportError(
        "iottly_async.integrations.fastapi needs the extra fastapi: "
        "pip install 'iottly-async[fastapi]'"
    ) from error

from ..config import Seconds
from ..errors import DecodeError, IottlyError
from ..models import Message
from ..session import IottlySession
from ..webhooks.dedupe import SeenKeys
from ..webhooks.parse import DEFAULT_HEADER, MAX_BYTES, Secret, WebhookReceiver
from ._departure import CancelOnDisconnect
from ._events import message_events
from ._problems import MEDIA_TYPE, STATUSES, problem_of

__all__ = [
    "PROBLEM_RESPONSE",
    "Lifespan",
    "SessionDep",
    "get_session",
    "install",
    "lifespan",
    "message_events",
    "webhook_router",
]

_STATE: Final = "iottly_session"
_LOG: Final = logging.getLogger(__name__)
_WEBHOOK_STATUSES: Final = {**STATUSES, DecodeError: 400}

PROBLEM_RESPONSE: Final[dict[int | str, dict[str, Any]]] = {
    "default": {
        "description": "A problem (RFC 9457)",
        "content": {
            MEDIA_TYPE: {
                "schema": {
                    "type": "object",
                    "properties": {
                        "type": {"type": "string", "format": "uri"},
                        "title": {"type": "string"},
                        "status": {"type": "integer"},
                        "detail": {"type": "string"},
                    },
                    "required": ["type", "title", "status", "detail"],
                    "additionalProperties": True,
                }
            }
        },
    }
}
"""Tells the OpenAPI document what errors look like: ``FastAPI(responses=PROBLEM_RESPONSE)``."""

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[Mapping[str, Any]]]


def lifespan(
    open_session: Callable[[], IottlySession] = IottlySession, *, grace: Seconds = 5.0
) -> Lifespan:
    """A lifespan that opens the worker's session and closes it: ``FastAPI(lifespan=lifespan())``.

    In a lifespan of your own: ``async with lifespan()(app) as state: yield {**state, ...}``.

    Args:
        open_session: makes the session, once a worker; default `IottlySession`, with key
            and URL from the environment.
        grace: seconds that calls still under way get when the worker stops; default 5.
    """

    @asynccontextmanager
    async def owner(_app: FastAPI) -> AsyncIterator[Mapping[str, Any]]:
        session = open_session()
        try:
            yield {_STATE: session}
        finally:
            await session.aclose(grace=grace)

    return owner


async def get_session(connection: HTTPConnection) -> IottlySession:
    """The worker's session; the dependency to override in tests.

    Raises:
        RuntimeError: the application has no `lifespan` of this module, or is run without it.
    """
    session = getattr(connection.state, _STATE, None)
    if not isinstance(session, IottlySession):
        raise RuntimeError(  # noqa: TRY004 - not an argument's type is at fault
            "there is no session: make the app by FastAPI(lifespan=lifespan()), and in a test "
            "enter TestClient(app) by `with`"
        )
    return session


SessionDep = Annotated[IottlySession, Depends(get_session)]
"""What a path operation takes to get the session: ``session: SessionDep``."""


def install(app: FastAPI, *, statuses: Mapping[type[IottlyError], int] | None = None) -> None:
    """Answer the library's errors as problems, and cancel the work of clients that have gone.

    Args:
        app: to install in, before it serves.
        statuses: of errors that are to have another status than the usual one, which is:
            400 for an argument, 404, 409 and 429 (with ``Retry-After``) as the service
            has them, 503 while closing, 504 for a passed deadline, 502 for all else that
            the service or the way to it is at fault for.
    """
    table = {**STATUSES, **(statuses or {})}

    async def answer(_request: Request, error: Exception) -> Response:
        if not isinstance(error, IottlyError):
            raise error
        return _problem(error, table)

    app.add_exception_handler(IottlyError, answer)
    app.add_middleware(CancelOnDisconnect)


def _problem(error: IottlyError, statuses: Mapping[type[IottlyError], int]) -> Response:
    problem = problem_of(error, statuses)
    if problem.status >= 500:
        _LOG.warning("answered %s: %s: %s", problem.status, type(error).__name__, error)
    return JSONResponse(
        problem.body, problem.status, headers=problem.headers, media_type=MEDIA_TYPE
    )


def webhook_router(
    handle: Callable[[Any], Awaitable[object]],
    *,
    secret: Secret,
    path: str = "/webhooks/iottly",
    header: str = DEFAULT_HEADER,
    payload_only: bool = False,
    max_bytes: int = MAX_BYTES,
    seen: SeenKeys | None = None,
) -> APIRouter:
    """A router with one route, to which the platform posts: ``app.include_router(...)``.

    The secret is checked before the body is read, and the body is bounded while it is
    read. It answers 204 once `handle` has returned, so that nothing is acknowledged that
    was not handled; 403, 413 and 400 as problems; 503 with ``Retry-After`` to a second
    delivery of a message that is just being handled. A static secret gives no protection
    against replay; see `iottly_async.webhooks.parse`.

    Args:
        handle: awaited with each `Message`; with `payload_only`, with the decoded payload.
            What it raises is the answer, 500 as a rule, and the message may come again.
        secret: what `header` must hold; two while it is being changed.
        path: of the route; default ``/webhooks/iottly``.
        header: name of the header with the secret; default ``X-Iottly-Secret``.
        payload_only: whether the webhook is set to "payload only".
        max_bytes: of a body; default 1 MiB.
        seen: remembers which messages were handled; None makes one of this worker, with
            room for 10,000. Bare payloads have no key and are never dropped.

    Raises:
        ConfigurationError: `secret`, `header` or `max_bytes` is not as above.
    """
    receiver = WebhookReceiver(secret=secret, header=header, max_bytes=max_bytes)
    del secret
    done = SeenKeys() if seen is None else seen
    router = APIRouter()

    @router.post(path, status_code=204, include_in_schema=False)
    async def webhook(request: Request) -> Response:
        try:
            receiver.check(request.headers)
            body = await _bounded_body(request, receiver)
            found = receiver.payload(body) if payload_only else receiver.message(body)
        except IottlyError as error:
            return _problem(error, _WEBHOOK_STATUSES)
        if payload_only:
            await handle(found)
            return Response(status_code=204)
        return await _once(handle, found, done)

    return router


async def _once(
    handle: Callable[[Message], Awaitable[object]], message: Message, seen: SeenKeys
) -> Response:
    claim = seen.claim(message.key)
    if claim == "busy":
        return Response(status_code=503, headers={"Retry-After": "1"})
    if claim == "new":
        try:
            await handle(message)
        except BaseException:
            seen.release(message.key)
            raise
        seen.keep(message.key)
    return Response(status_code=204)


async def _bounded_body(request: Request, receiver: WebhookReceiver) -> bytes:
    told = request.headers.get("content-length", "")
    if told.isascii() and told.isdecimal():
        receiver.check_size(int(told[:18]))
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        receiver.check_size(len(body))
    return bytes(body)
