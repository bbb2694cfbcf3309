"""The session: puts the parts together; a user opens and closes it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from datetime import datetime
from types import TracebackType
from typing import Any, NoReturn, Self, TypeVar
from urllib.parse import urlsplit

from attrs import evolve

from .auth import ApiKey
from .clock import SYSTEM_CLOCK, Clock
from .codec import Answers
from .config import Config, Seconds, seconds, whole
from .errors import ConfigurationError
from .models import Outage, Quota
from .pipeline import Hooks, Options, Pipeline, Stats
from .ratelimit import Limiter, chosen_limiter
from .resources import FleetCommands, FleetDevices, Project
from .resources.context import Context
from .resources.messages import TypeFilter
from .resources.project import ping
from .stream.buffer import Overflow
from .stream.build import build_stream
from .stream.options import StreamOptions
from .stream.protocol import StreamProtocol
from .stream.stream import Stream
from .transport import Transport, as_transport
from .walk import Quirks
from .wire import Request

T = TypeVar("T")


class IottlySession:
    """A session with the Iottly cloud, for both API generations.

    A session can be made anywhere. It belongs to the event loop of its first call, and serves
    any number of tasks there. `async with` or `aclose()` closes it.

    Example:
        ```python
        async with IottlySession() as session:  # IOTTLY_API_KEY from the environment
            project = session.project("59c19cacecc01400075f3bc9")
            async for message in project.messages.walk(device_id):
                print(message.timestamp, message.payload)
        ```

    Args:
        api_key: a project's API key. None, the default, reads ``IOTTLY_API_KEY`` from the
            environment.
        config: the settings. None, the default, is `Config.from_env()`, which reads
            ``IOTTLY_BASE_URL``, ``IOTTLY_TIMEOUT`` and their like.
        http: an `aiohttp.ClientSession` of your own, which sends every request and stays
            open, or a `Transport`. None, the default, opens connections of its own. Pass a
            `ClientSession` to trace requests with `aiohttp.TraceConfig`, to add middlewares,
            or to set a proxy. Tools that patch aiohttp, as aiointercept, vcrpy and
            OpenTelemetry do, work with None too.
        limiter: gives the permits for requests: a `RateLimiter()` for this session alone, or
            `RedisLimiter(url)` for one quota of many processes. None, the default, shares one
            limiter among all sessions of this key and host in the process.
        hooks: functions that are called with what happens to calls, for metrics, traces and
            logs of your own, such as ``Hooks(retry=print)``. None, the default, calls none.

    Attributes:
        devices: the devices of the key's project by the fleet API (v1), with pages.
        commands: commands with results by the fleet API (v1).
        config: the settings.

    Raises:
        ConfigurationError: there is no key, or a header cannot carry it; or a setting is not
            accepted.
    """

    def __init__(
        self,
        api_key: str | None = None,
        *,
        config: Config | None = None,
        http: Any = None,
        limiter: Limiter | None = None,
        hooks: Hooks | None = None,
    ) -> None:
        try:
            key = ApiKey(os.environ.get("IOTTLY_API_KEY", "") if api_key is None else api_key)
        finally:
            del api_key  # a traceback with locals must not show it
        config = Config.from_env() if config is None else config
        if not isinstance(config, Config):
            raise ConfigurationError(f"config must be a Config, not {type(config).__name__}")
        transport: Transport = as_transport(http, config)
        chosen = chosen_limiter(limiter, key.fingerprint, urlsplit(config.base_url).netloc)
        self._pipeline = Pipeline(config, key, transport, chosen, SYSTEM_CLOCK)
        self._owner = True
        watching = () if hooks is None else (self._watched(hooks),)
        options = Options(timeout=config.timeout, hooks=watching)
        self._bind(options, Answers(), SYSTEM_CLOCK, Quirks())

    def _bind(self, options: Options, answers: Answers, clock: Clock, quirks: Quirks) -> None:
        self.config = self._pipeline.config
        self._options = options
        self._context = Context(
            requester=self,
            pipeline=self._pipeline,
            answers=answers,
            clock=clock,
            timeout=options.timeout,
            hooks=options.hooks,
            quirks=quirks,
        )
        self.devices = FleetDevices(self._context)
        self.commands = FleetCommands(self._context)

    def __repr__(self) -> str:
        config = getattr(self, "config", None)  # a debugger may ask before it is made
        return f"<IottlySession {'unfinished' if config is None else config.base_url}>"

    def __del__(self, _warn: Any = warnings.warn) -> None:
        # A session that could not be made has no pipeline, and a view closes nothing.
        pipeline = getattr(self, "_pipeline", None)
        if pipeline is not None and self._owner and pipeline.unclosed:
            _warn(
                f"unclosed {self!r}; use `async with`, or await aclose()",
                ResourceWarning,
                source=self,
            )

    def __reduce__(self) -> NoReturn:
        raise TypeError("a session is not pickled; make one in each process, from its own key")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self, *, grace: Seconds = 0.0) -> None:
        """End the calls under way and close the connections that the session opened.

        Later calls end with `SessionClosedError`. Closing a second time does nothing, and
        neither does closing a view (`with_options`).

        Args:
            grace: seconds, or a `timedelta`, that calls under way may go on. Those still
                under way then end with `SessionClosedError`. Default 0.

        Raises:
            ConfigurationError: `grace` is not accepted, or another event loop uses the
                session.
        """
        if self._owner:
            await self._pipeline.aclose(seconds(grace, name="grace", zero=True))

    async def call(self, request: Request[T], *, patience: float | None = None) -> T:
        """Make one call. The resources, such as `Project`, are built on it.

        Args:
            request: the call with its arguments.
            patience: seconds for which failures that pass are waited out, `math.inf` without
                end; for work that nobody waits for. The timeout does not bound it then, and
                waits for quota do not count. None, the default, is a call that somebody
                waits for.

        Returns:
            The call's result.

        Raises:
            IottlyError: the call failed; its class says how.
        """
        return await self._pipeline.call(request, self._options, patience=patience)

    def with_options(
        self,
        *,
        timeout: Seconds | None = None,
        priority: int | None = None,
        hooks: Hooks | None = None,
    ) -> IottlySession:
        """Make a view of this session with other options; everything else is shared.

        Example:
            ```python
            urgent = session.with_options(priority=10, timeout=5)
            await urgent.commands.send(device_id, "uptime")
            ```

        Args:
            timeout: seconds, or a `timedelta`, that a call may take. None, the default, keeps
                this session's.
            priority: -1000 to 1000. Calls with a higher priority get quota first; a session
                has 0. None, the default, keeps this session's.
            hooks: functions that are called with what happens to the view's calls, beside
                those of this session. None, the default, adds none.

        Returns:
            A session that need not be closed.

        Raises:
            ConfigurationError: an option is not accepted.
        """
        options = self._options
        if timeout is not None:
            options = evolve(options, timeout=seconds(timeout, name="timeout"))
        if priority is not None:
            options = evolve(
                options, priority=whole(priority, name="priority", least=-1000, most=1000)
            )
        if hooks is not None:
            options = evolve(options, hooks=(*options.hooks, self._watched(hooks)))
        view = object.__new__(type(self))
        view._pipeline = self._pipeline
        view._owner = False
        context = self._context
        view._bind(options, context.answers, context.clock, context.quirks)
        return view

    def _watched(self, hooks: Hooks) -> Hooks:
        if not isinstance(hooks, Hooks):
            raise ConfigurationError(f"hooks must be a Hooks, not {type(hooks).__name__}")
        self._pipeline.notices.watch(hooks)
        return hooks

    async def ping(self) -> None:
        """Check that the service answers and accepts the key (v1.0, ``project/ping``).

        Raises:
            UnauthorizedError: the key is not accepted.
            TransportError: the service was not reached.
        """
        await ping(self._context)

    def project(self, project_id: str) -> Project:
        """Give access to one project: its devices, messages, commands and licences.

        No request is sent.

        Args:
            project_id: the project's id.

        Returns:
            The project's methods.

        Raises:
            ConfigurationError: `project_id` cannot stand in a path.
        """
        return Project(self._context, project_id)

    def stream(
        self,
        *,
        project_id: str | None = None,
        devices: Iterable[str] | None = None,
        type: TypeFilter = "all",  # noqa: A002 - the API's own name
        since: datetime | None = None,
        fill_gaps: bool = False,
        settle: Seconds | None = None,
        lookback: Seconds | None = None,
        patience: Seconds | None = None,
        buffer: int = 10_000,
        overflow: Overflow = "wait",
        heartbeat: Seconds = 20.0,
        max_frame_bytes: int = 1024 * 1024,
        protocol: StreamProtocol | None = None,
    ) -> Stream:
        """A stream of the project's messages over a WebSocket (v1).

        The stream reconnects by itself. Messages that may have been missed are reported as a
        `Gap`, or filled in with `fill_gaps`. The vendor has a page about its WebSocket that
        we could not read. So address and frames are an assumption, which
        `DefaultStreamProtocol` describes, and which `protocol` replaces (D9); how to write
        another one is shown in `iottly_async.stream.protocol`.

        `async with` does not wait for the connection. Messages that the service sends before
        the stream is connected are missed, unless `since` is given.

        Example:
            ```python
            async with session.stream(project_id=project_id, fill_gaps=True) as stream:
                await stream.until_connected()
                async for message in stream.messages():
                    print(message.device_id, message.payload)
            ```

        Args:
            project_id: the project's id of generation v1.0, whose messages fill gaps. It is
                needed only with `fill_gaps`. Default None.
            devices: ids of generation v1.0. None, the default, is all devices of the
                project. Messages of other devices are dropped, if the service sends any.
            type: "all", "userdefined" for messages of the devices' scripts, or "iottlyagent"
                for those of the agent. Default "all".
            since: an aware datetime, such as the time of the last message before a restart.
                The stream then starts with a gap from this time to the first connection.
                None, the default, starts with the connection.
            fill_gaps: whether the messages of a gap are read by a REST walk and yielded
                before later ones, so that every message is yielded once. A gap costs at
                least one request for each device. Default False.
            settle: seconds, or a `timedelta`, to wait after a gap before it is read, so that
                the service can show late messages (D11). Later messages wait in the buffer.
                None, the default, is `Config.settle`, 5 s by default.
            lookback: seconds, or a `timedelta`, that a walk starts before its gap, for
                messages that became visible late. None, the default, is as `settle`.
            patience: seconds, or a `timedelta`, for which filling a gap waits out failures of
                the service that pass, `math.inf` without end (D18). After it, the iteration
                raises the error, and a new iteration over the open stream continues there.
                Connecting is tried again without end. None, the default, is
                `Config.patience`, 300 s by default.
            buffer: the largest number of messages that wait for the consumer. Default
                10,000.
            overflow: what happens when the buffer is full. "wait", the default, stops
                reading, so that the service has to wait. "drop_oldest" drops the oldest
                message and reports a gap.
            heartbeat: seconds, or a `timedelta`, without a frame after which the connection
                is pinged. After as long again without a pong it is closed. It is also closed
                if the service promises frames and is 2.5 times as late as it promised.
                Default 20.
            max_frame_bytes: the largest frame that is accepted, in bytes, at least 1024. A
                larger one ends the connection. Default 1,048,576 (1 MiB).
            protocol: the address, where the key is sent, and the frames: a `StreamProtocol`.
                None, the default, is `DefaultStreamProtocol()`.

        Returns:
            A stream that is not connected yet. Open it with `async with`.

        Raises:
            ConfigurationError: an argument is not accepted; nothing was sent.
        """
        options = StreamOptions(
            project_id=project_id,
            devices=devices,
            type=type,
            since=since,
            fill_gaps=fill_gaps,
            settle=self.config.settle if settle is None else settle,
            lookback=lookback,
            patience=patience,
            buffer=buffer,
            overflow=overflow,
            heartbeat=heartbeat,
            max_frame_bytes=max_frame_bytes,
            protocol=protocol,
        )
        return build_stream(
            options,
            pipeline=self._pipeline,
            call_options=self._options,
            clock=self._context.clock,
            project=None if project_id is None else self.project(project_id),
            commands=self.commands,
        )

    @property
    def quota(self) -> Quota:
        """The key's quota as it is known now."""
        return self._pipeline.limiter.quota()

    @property
    def outage(self) -> Outage | None:
        """The outage of the service that goes on, for a display; None if there is none.

        It begins after three failed attempts in a row of whichever calls, and ends with the
        first success.
        """
        return self._pipeline.outage

    @property
    def stats(self) -> Stats:
        """A copy of the session's counters since it was made."""
        return evolve(self._pipeline.stats)


def parts_of(session: IottlySession) -> tuple[Pipeline, Options]:
    """The pipeline and the options of a session, for requests that are not calls."""
    return session._pipeline, session._options
