"""`iottly ingest`: fetches the messages of devices into a store."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from attrs import evolve, frozen
from cyclopts import Parameter

from ..texts import without_secrets
from .arguments import TypeOption, time_of
from .connection import ProjectOption, connected, project_id
from .console import iso_ms, say, stderr
from .device_names import device_ids, unknown_devices
from .exit_codes import ExitCode
from .output import FormatOption, Output
from .profile import ProfileChoice, ProfileOption, load_profile
from .signals import signals_wake_loop

if TYPE_CHECKING:
    from ..ingest import IngestJob, IngestReport
    from ..session import IottlySession

_SHOWN_FAILURES = 10


async def ingest(
    *devices: str,
    to: str,
    start: str | None = None,
    end: str | None = None,
    type: TypeOption = "all",
    columns: Annotated[list[str] | None, Parameter(negative=())] = None,
    concurrency: int = 8,
    flush_every: float = 1.0,
    patience: float | None = None,
    follow: Annotated[bool, Parameter(negative="")] = False,
    report: Path | None = None,
    quiet: Annotated[bool, Parameter(name=["--quiet", "-q"], negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
    emulator: Annotated[bool, Parameter(negative="")] = False,
    project: ProjectOption = None,
    profile: ProfileOption = None,
    format: FormatOption = None,
) -> int:
    """Fetch the messages of a project's devices into a store, each exactly once.

    Run the command again to continue. A run that was killed or stopped resumes
    where it was; a run that was complete fetches what is new.
    Ctrl-C or SIGTERM ends the run cleanly, a second one at once. Two runs into
    one store do not mix: the second is refused, with exit code 5.

    Args:
        devices: Ids or unique names of devices; by default all devices of the project.
        to: A file ending in .duckdb, .jsonl or .jsonl.zst;
            a folder ending in .parquet; any path after duckdb:,
            jsonl: or parquet:; or postgresql://USER@HOST/DATABASE, with
            the password in PGPASSWORD or ~/.pgpass.
        start: The first time, inclusive, such as 2026-01-01T00:00Z;
            by default the oldest message.
        end: The last time, exclusive; by default the present.
        type: The type of messages to fetch.
        columns: Typed columns of a view "wide" in a DuckDB or PostgreSQL store, and of the
            files of a Parquet store, NAME=PATH and more after commas, such as
            temperature=sensor_data_reading.temperature,volts=phases[0].volts.
        concurrency: The most requests at once.
        flush_every: Seconds after which what was fetched is durable, at the latest;
            a kill makes the next run fetch that much again.
        patience: Seconds for which an outage of the service is waited out, or inf;
            by default 300, and with --follow inf.
        follow: Continue with new messages until Ctrl-C or SIGTERM; the exit code is then 0.
        report: Write a report of the run to this file, as JSON.
        quiet: Print nothing but warnings and errors; with --json, the report too.
        json: Print the report as one JSON object, also on a terminal.
        emulator: Fetch 100,000 messages from an emulator in this process.

    Returns:
        The exit code.
    """
    # Imported here and below, so that `iottly --help` loads no aiohttp.
    from ..ingest import IngestJob, open_store
    from .report_file import ReportFile

    low, high = time_of(start, name="--start"), time_of(end, name="--end")
    store = open_store(to)
    file = None if report is None else ReportFile(report)
    async with _emulated() if emulator else _service(project, profile) as source:
        make_job = partial(
            IngestJob,
            source.session,
            project=source.project,
            start=low,
            end=high or (None if follow else source.end),
            type=type,
            store=store,
            columns=_paths(columns),
            concurrency=concurrency,
            flush_every=flush_every,
            patience=patience,
            follow=follow,
        )
        job = make_job()
        found = source.session.project(source.project)
        if devices:  # a wrong option was refused before a name is looked up
            ids = await device_ids(found, devices, fleet=source.session.devices)
            job = make_job(devices=ids)
        done, signalled = await _run(job, quiet=quiet)
        silent = [each.device_id for each in done.devices if not each.total and not each.error]
        unknown = await unknown_devices(found, silent if devices else [])
    shown = without_secrets(to)
    if json or not quiet:
        _summarise(done, shown, Output("json" if json else format), quiet=quiet)
    _print_failures(done)
    if file is not None:
        file.write({"store": shown, **_record(done)})
    for error in unknown.values():
        say(str(error))
    return signalled if done.interrupted else _code(done, len(unknown))


def _paths(columns: list[str] | None) -> dict[str, str] | None:
    """The paths of typed columns, by name."""
    from ..errors import ConfigurationError

    paths: dict[str, str] = {}
    for text in ",".join(columns or ()).split(",") if columns else ():
        name, equals, path = map(str.strip, text.partition("="))
        if not equals:
            raise ConfigurationError(
                f"--columns: {text!r} is not NAME=PATH, such as temperature=room.celsius"
            )
        if name in paths:
            raise ConfigurationError(f"--columns: there is a column {name!r} already")
        paths[name] = path
    return paths or None


@frozen(kw_only=True)
class _Source:
    session: IottlySession
    project: str
    end: datetime | None = None


@asynccontextmanager
async def _service(project: str | None, profile: ProfileChoice | None) -> AsyncIterator[_Source]:
    user = load_profile(profile, project)
    named = project_id(user.project)
    async with connected(user, say_waits=False) as session:
        yield _Source(session=session, project=named)


@asynccontextmanager
async def _emulated() -> AsyncIterator[_Source]:
    from ..config import Config
    from ..emulator import Emulator
    from ..session import IottlySession

    async with Emulator() as emulator:
        settings = emulator.settings
        say(
            f"the emulator in this process, {emulator.base_url}, has {settings.devices} devices "
            f"and {settings.messages:,} messages"
        )
        config = evolve(Config(), base_url=emulator.base_url)
        async with IottlySession(emulator.api_key, config=config) as session:
            # Its history ends in the past: no message lies between that time and now.
            yield _Source(session=session, project=emulator.project_id, end=settings.until)


async def _run(job: IngestJob, *, quiet: bool) -> tuple[IngestReport, ExitCode]:
    """Run a job; the exit code is for the case that it was interrupted."""
    from .progress import progress_view

    view = progress_view(quiet=quiet)

    def stop() -> None:
        if not quiet:
            say("stopping; the fetched messages are being stored (Ctrl-C again ends at once)")
        job.stop()

    def at_once() -> None:
        stderr().show_cursor()

    # Imported modules stay in memory anyway. Without this, the garbage collector, which the
    # rows keep busy, scans them again and again: a tenth of the run.
    gc.freeze()
    with view, stop_on_signals(stop, at_once=at_once) as code:
        report = await job.run(view.show)
        return report, code()


@contextmanager
def stop_on_signals(
    stop: Callable[[], None], *, at_once: Callable[[], None]
) -> Iterator[Callable[[], ExitCode]]:
    """Handle SIGINT and SIGTERM: the first calls `stop`, the second ends the process.

    Args:
        stop: Called in the event loop; asks for a clean end.
        at_once: Restores the terminal before the process ends.

    Yields:
        A function that returns the exit code of a run that a signal ended.
    """
    from asyncio import get_running_loop

    loop = get_running_loop()
    code: ExitCode | None = None

    def handle(number: int, frame: object) -> None:
        nonlocal code
        stopping = code is not None
        code = ExitCode.TERMINATED if number == signal.SIGTERM else ExitCode.INTERRUPTED
        if stopping:
            at_once()
            # A store may be killed at any moment: it loses nothing that was committed.
            os._exit(code)
        loop.call_soon_threadsafe(stop)

    with signals_wake_loop(), ExitStack() as restore:
        for number in (signal.SIGINT, signal.SIGTERM):
            restore.callback(signal.signal, number, signal.signal(number, handle))
        yield lambda: code or ExitCode.INTERRUPTED


def _record(report: IngestReport) -> dict[str, Any]:
    """The report with its times as ISO texts."""
    times = {"start": report.start, "end": report.end}
    return {
        **report.as_dict(),
        **{name: None if ms is None else iso_ms(ms) for name, ms in times.items()},
    }


def _summarise(report: IngestReport, to: str, output: Output, *, quiet: bool) -> None:
    """Print the summary: a table, or a record on stdout with a line on stderr."""
    from .progress import limit_text

    end = "a time that was not reached" if report.end is None else iso_ms(report.end)
    state = "stopped following" if report.followed else "done"
    if report.failed:
        state = f"{report.failed} of {len(report.devices)} devices failed, run it again to continue"
    if report.interrupted:
        state = "interrupted, run it again to continue"
    if output.form == "table":
        output.one(
            {
                "state": state,
                "store": to,
                "messages": f"{report.total:,} in the store, {report.rows:,} of them by this run",
                "rejected": f"{report.rejected:,}" if report.rejected else "none",
                **({"columns": _clashes(report)} if report.clashes else {}),
                "devices": f"{report.done:,} of {len(report.devices):,} complete",
                "range": f"{'the beginning' if report.start is None else iso_ms(report.start)} "
                f"to {end}",
                "requests": f"{report.requests:,}",
                "time": f"{report.seconds:.1f} s, {report.rows_per_second:,.0f} messages a second"
                f"{_waits(report)}",
                "limit": limit_text(report.shares),
            }
        )
    else:
        output.one(_record(report))
        if quiet:
            return
        say(
            f"{state}: {report.total:,} messages in {to}, {report.rows:,} of them by this run, "
            f"{report.rejected:,} rejected, {report.requests:,} requests, {report.seconds:.1f} s, "
            f"limit {limit_text(report.shares)}{_waits(report)}"
        )
        if report.clashes:
            say(f"columns: {_clashes(report)}")


def _clashes(report: IngestReport) -> str:
    """What became null in typed columns."""
    counts = ", ".join(f"{name} {count:,}" for name, count in report.clashes.items())
    return f"values of another type are null there: {counts}"


def _waits(report: IngestReport) -> str:
    """How long the run stood still for quota, and the service was away; "" if neither."""
    waits = (("waited for quota", report.quota_seconds), ("service away", report.outage_seconds))
    return "".join(f", {what} for {seconds:,.0f} s" for what, seconds in waits if seconds >= 1)


def _print_failures(report: IngestReport) -> None:
    from ..ingest import Outcome

    failures = [device for device in report.devices if device.outcome is Outcome.FAILED]
    for device in failures[:_SHOWN_FAILURES]:
        say(f"device {device.device_id}: {device.error_type}: {device.error}")
    if len(failures) > _SHOWN_FAILURES:
        say(f"… and {len(failures) - _SHOWN_FAILURES:,} more")


def _code(report: IngestReport, unknown: int) -> int:
    """The exit code of a run that no signal ended. Devices that do not exist count as failed."""
    failed = report.failed + unknown
    if not failed:
        return ExitCode.DONE
    if failed < len(report.devices):
        return ExitCode.PARTLY
    refused = all(device.status in (401, 403) for device in report.devices)
    return ExitCode.REFUSED if refused else ExitCode.ERROR
