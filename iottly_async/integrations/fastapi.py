"""The FastAPI integration: session, errors, webhooks and server-sent events (extra ``fastapi``).

It gives an application one session in each worker, turns the library's errors into problem
details, receives webhooks, and sends messages to browsers.

```python
from fastapi import FastAPI
from iottly_async import Device
from iottly_async.integrations.fastapi import SessionDep, install, lifespan

app = FastAPI(lifespan=lifespan())  # reads IOTTLY_API_KEY and IOTTLY_BASE_URL
install(app)

@app.get("/projects/{project_id}/devices")
async def devices(project_id: str, session: SessionDep) -> list[Device]:
    return await session.project(project_id).devices.list()
```

The library's models can be used as response models, and they appear in the OpenAPI document.
They can also be returned without a type, within ``dict[str, Any]``, and through
``jsonable_encoder``. A `Cursor` can also be a query parameter, or the header ``Last-Event-ID``.

A test replaces the session like any other dependency:
``app.dependency_overrides[get_session] = lambda: session``.
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
from typing import Annotated, Any, Final, TypeVar

try:
    from fastapi import APIRouter, Depends, FastAPI, Request, Response
    from fastapi.encoders import ENCODERS_BY_TYPE
    from fastapi.responses import JSONResponse
    from starlette.requests import HTTPConnection
except ImportError as error:
    raise ImportError(
        "iottly_async.integrations.fastapi needs the extra fastapi: "
        "pip install 'iottly-async[fastapi]'"
    ) from error

from ..config import Seconds
from ..errors import (
    DecodeError,
    IottlyError,
    WebhookEncodingError,
    WebhookUnavailableError,
)
from ..models import Cursor, Message
from ..session import IottlySession
from ..webhooks.dedupe import Claim, SeenKeys, SharedSeenKeys
from ..webhooks.parse import DEFAULT_HEADER, MAX_BYTES, Secret, WebhookReceiver
from ._disconnect import CancelOnDisconnect
from ._problem_details import MEDIA_TYPE, STATUSES, problem_of
from ._sse import message_events

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

T = TypeVar("T")

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
"""Describes the errors in the OpenAPI document: ``FastAPI(responses=PROBLEM_RESPONSE)``."""

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[Mapping[str, Any]]]


def lifespan(
    open_session: Callable[[], IottlySession] = IottlySession, *, grace: Seconds = 5.0
) -> Lifespan:
    """A lifespan that opens one session in each worker, and closes it.

    Example:
        ```python
        app = FastAPI(lifespan=lifespan())

        # or within a lifespan of your own
        @asynccontextmanager
        async def my_lifespan(app):
            async with lifespan()(app) as state:
                yield {**state, "cache": cache}
        ```

    Args:
        open_session: makes the session; called once in each worker. The default,
            `IottlySession`, takes the key and the URL from the environment.
        grace: seconds, or a `timedelta`, for calls that are running when the worker stops.
            Default 5.

    Returns:
        A lifespan for `FastAPI(lifespan=...)`.
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
    """The worker's session, as a dependency; tests override it.

    Args:
        connection: the request or WebSocket; FastAPI passes it.

    Returns:
        The session that `lifespan` opened.

    Raises:
        RuntimeError: the application does not use `lifespan`, or runs without its lifespan.
    """
    session = getattr(connection.state, _STATE, None)
    if not isinstance(session, IottlySession):
        raise RuntimeError(  # noqa: TRY004 - not an argument's type is at fault
            "there is no session: create the app with FastAPI(lifespan=lifespan()), and in a "
            "test use `with TestClient(app) as client`"
        )
    return session


SessionDep = Annotated[IottlySession, Depends(get_session)]
"""The type of a path operation's parameter that gets the session: ``session: SessionDep``."""


def install(app: FastAPI, *, statuses: Mapping[type[IottlyError], int] | None = None) -> None:
    """Turn the library's errors into problem details, and cancel calls of disconnected clients.

    A cursor in a response without a type is then its text, as it is in one with a type.

    A response to an error has the media type ``application/problem+json`` (RFC 9457). The
    default statuses are:

    - 400 for an argument that is refused
    - 500 if the application itself is set up wrongly (`SetupError`), such as with a session
      that was made before a fork
    - 404, 409 and 429 (with ``Retry-After``) as the service answers them
    - 503 while the session is closing
    - 504 for a deadline that has passed
    - 502 for every other failure of the service or of the network

    Args:
        app: the application; call this before it serves.
        statuses: other statuses for some error classes and their subclasses. None, the
            default, changes nothing.
    """
    table = {**STATUSES, **(statuses or {})}
    # Where no type says what it is, a cursor would be an object instead of its text.
    ENCODERS_BY_TYPE.setdefault(Cursor, Cursor.to_json)

    async def handle(_request: Request, error: Exception) -> Response:
        if not isinstance(error, IottlyError):
            raise error
        return _problem(error, table)

    app.add_exception_handler(IottlyError, handle)
    app.add_middleware(CancelOnDisconnect)


def _problem(error: IottlyError, statuses: Mapping[type[IottlyError], int]) -> Response:
    problem = problem_of(error, statuses)
    if problem.status >= 500:
        _LOG.warning("responded %s: %s: %s", problem.status, type(error).__name__, error)
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
    seen: SeenKeys | SharedSeenKeys | None = None,
) -> APIRouter:
    """A router with one route, to which the platform posts its webhooks.

    The secret is checked before the body is read, and reading stops at `max_bytes`. The
    responses are:

    - 204 once `handle` has returned, so that only handled messages are acknowledged
    - 204 for a message that was handled before
    - 503 with ``Retry-After`` for a second delivery of a message while `handle` runs, and
      while the Redis of `seen` is gone
    - 403, 413, 415 or 400, as problem details, for a wrong secret, a body that is too large,
      a content encoding other than gzip, or a body that is no webhook

    A static secret does not protect against replay; see `iottly_async.webhooks.parse`.

    Example:
        ```python
        async def handle(message: Message) -> None:
            print(message.device_id, message.payload)

        app.include_router(webhook_router(handle, secret=os.environ["WEBHOOK_SECRET"]))
        ```

    Args:
        handle: awaited with each `Message`; with `payload_only`, with the decoded payload.
            If it raises, the response is an error, 500 unless the application has a handler
            for it, and the message may be delivered again.
        secret: the value that `header` must have. Several values are each accepted, so that
            a secret can be changed without losing a delivery.
        path: the route's path. Default ``/webhooks/iottly``.
        header: the name of the header with the secret. Default ``X-Iottly-Secret``.
        payload_only: whether the webhook is set to "payload only". Default False.
        max_bytes: the largest body that is accepted, in bytes. Default 1,048,576 (1 MiB).
        seen: remembers which messages were handled: a `SeenKeys`, or for several workers a
            `RedisSeenKeys`. None, the default, makes a memory of 10,000 keys for this worker.
            Bare payloads have no key and are never dropped.

    Returns:
        A router for `app.include_router(...)`.

    Raises:
        ConfigurationError: `secret`, `header` or `max_bytes` is not accepted.
    """
    receiver = WebhookReceiver(secret=secret, header=header, max_bytes=max_bytes)
    del secret
    handled = SeenKeys() if seen is None else seen
    router = APIRouter()

    @router.post(path, status_code=204, include_in_schema=False)
    async def webhook(request: Request) -> Response:
        try:
            receiver.check(request.headers)
            body = await _bounded_body(request, receiver)
            content = receiver.payload(body) if payload_only else receiver.message(body)
        except IottlyError as error:
            response = _problem(error, _WEBHOOK_STATUSES)
            if isinstance(error, WebhookEncodingError):
                response.headers["Accept-Encoding"] = "gzip"  # RFC 9110, section 15.5.16
            return response
        if payload_only:
            await handle(content)
            return Response(status_code=204)
        return await _handle_once(handle, content, handled)

    return router


async def _handle_once(
    handle: Callable[[Message], Awaitable[object]],
    message: Message,
    seen: SeenKeys | SharedSeenKeys,
) -> Response:
    try:
        claim: Claim = await _awaited(seen.claim(message.key))
    except WebhookUnavailableError as error:
        return _problem(error, _WEBHOOK_STATUSES)
    if claim == "busy":
        return Response(status_code=503, headers={"Retry-After": "1"})
    if claim == "new":
        try:
            await handle(message)
        except BaseException:
            await _awaited(seen.release(message.key))
            raise
        await _awaited(seen.keep(message.key))
    return Response(status_code=204)


async def _awaited(value: T | Awaitable[T]) -> T:
    return await value if isinstance(value, Awaitable) else value


async def _bounded_body(request: Request, receiver: WebhookReceiver) -> bytes:
    declared = request.headers.get("content-length", "")
    if declared.isascii() and declared.isdecimal():
        receiver.check_size(int(declared[:18]))
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        receiver.check_size(len(body))
    return bytes(body)
