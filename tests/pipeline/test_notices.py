"""The log: nothing that a call waits for is silent, and no line holds a secret."""

from __future__ import annotations

import asyncio
import logging
import re
from math import inf

import pytest

from iottly_async import IottlySession, ServerError
from tests.support.canary import CANARY, shows_key
from tests.support.outages import OWN_ERROR, Service, answers, page, refused, with_service


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Everything that the library logs."""
    caplog.set_level(logging.DEBUG, "iottly_async")
    return caplog


def lines(log: pytest.LogCaptureFixture, name: str) -> list[tuple[str, str]]:
    """Level and text of the lines of one logger."""
    return [
        (record.levelname, record.getMessage())
        for record in log.records
        if record.name == f"iottly_async.{name}"
    ]


def spent(seconds: int) -> dict[str, str]:
    """The headers of a quota that is spent for so long."""
    return {
        "x_ratelimit_limit": "60",
        "x_ratelimit_remaining": "0",
        "x_ratelimit_reset": str(seconds),
    }


def test_a_retry_is_logged_at_debug(log: pytest.LogCaptureFixture) -> None:
    """The line has the call, the attempt, the class and status of its error, and the pause."""

    async def use(session: IottlySession, _: Service) -> None:
        await session.call(page())

    with_service(use, (0.0, 0.01), failure=answers(503, OWN_ERROR))
    ((level, line),) = lines(log, "retry")
    assert level == "DEBUG"
    assert line.startswith("messages.page: attempt 1 failed (ServerError 503); the next one is in ")


def test_a_refusal_is_logged_at_debug(log: pytest.LogCaptureFixture) -> None:
    """A 429 has its line too."""

    async def use(session: IottlySession, _: Service) -> None:
        await session.call(page())

    with_service(use, (0.0, 1.0), failure=answers(429, OWN_ERROR, retry_after="3"))
    assert lines(log, "retry") == [("DEBUG", "messages.page: attempt 1 was refused (429)")]


@pytest.mark.parametrize("patience", [None, 0.0, 300.0])
def test_a_long_wait_for_quota_is_logged_once(
    log: pytest.LogCaptureFixture, patience: float | None
) -> None:
    """Ten seconds after it began, one line at INFO says how long it takes in all."""

    async def use(session: IottlySession, service: Service) -> float:
        await session.call(page())
        work = asyncio.create_task(
            session.with_options(timeout=1000.0).call(page(), patience=patience)
        )
        await asyncio.sleep(9.9)
        assert lines(log, "quota") == []
        await asyncio.sleep(0.2)
        assert len(lines(log, "quota")) == 1
        await work
        return service.now

    took = with_service(use, (0.0, 10.0), failure=answers(200, b"{}", **spent(58)))
    ((level, line),) = lines(log, "quota")
    assert level == "INFO"
    assert line.startswith("messages.page waits for quota, ")
    assert float(line.split(", ")[1].split(" s ")[0]) == pytest.approx(took, abs=1.5)


def test_many_waits_share_a_line(log: pytest.LogCaptureFixture) -> None:
    """A hundred calls that begin to wait together fill no log."""

    async def use(session: IottlySession, _: Service) -> None:
        await session.call(page())
        await asyncio.gather(*(session.call(page(), patience=300.0) for _ in range(50)))

    with_service(use, (0.0, 10.0), failure=answers(200, b"{}", **spent(58)))
    ((_, line),) = lines(log, "quota")
    assert line.endswith("(and 49 other calls)")


def test_a_short_wait_for_quota_is_not_logged(log: pytest.LogCaptureFixture) -> None:
    """A wait of less than ten seconds has no line, and neither has a session at rest."""

    async def use(session: IottlySession, _: Service) -> None:
        await session.call(page())
        await session.call(page())
        await asyncio.sleep(100)

    with_service(use, (0.0, 3.0), failure=answers(200, b"{}", **spent(5)))
    assert lines(log, "quota") == []


@pytest.mark.parametrize(
    ("patience", "how_long"), [(inf, "without end"), (300.0, "for up to 300 s")]
)
def test_an_outage_is_logged_when_it_begins_and_when_it_ends(
    log: pytest.LogCaptureFixture, patience: float, how_long: str
) -> None:
    """WARNING says since when, why and for how long work waits; INFO says how long it took."""

    async def use(session: IottlySession, _: Service) -> None:
        await asyncio.gather(*(session.call(page(), patience=patience) for _ in range(32)))

    with_service(use, (0.0, 30.0), failure=refused)
    (began, line), (ended, last) = lines(log, "outage")
    assert (began, ended) == ("WARNING", "INFO")
    assert re.match(r"the service is away since 20[-0-9]{8}T[0-9:]{8}\.[0-9]{3}Z \(", line)
    assert "(ConnectError: refused)" in line
    assert line.endswith(f"; work that goes by itself waits {how_long}")
    seconds = float(last.removeprefix("the service is back after ").removesuffix(" s"))
    assert 30.0 <= seconds <= 46.0


def test_an_outage_behind_a_proxy_is_logged_once(log: pytest.LogCaptureFixture) -> None:
    """An outage of answers of 503 is one warning, and one line when it ends."""

    async def use(session: IottlySession, _: Service) -> None:
        await asyncio.gather(*(session.call(page(), patience=inf) for _ in range(8)))

    with_service(use, (0.0, 60.0), failure=answers(503, b"<html>busy</html>"))
    (began, ended) = lines(log, "outage")
    assert began[0] == "WARNING"
    assert "ServerError 503" in began[1]
    assert ended[0] == "INFO"


def test_a_few_answers_of_503_are_no_outage(log: pytest.LogCaptureFixture) -> None:
    """Eight calls that meet a 503 at once, and pass then, are not logged as an outage."""

    async def use(session: IottlySession, _: Service) -> None:
        await asyncio.gather(*(session.call(page(), patience=inf) for _ in range(8)))

    with_service(use, (0.0, 0.2), failure=answers(503, b"<html>busy</html>"))
    assert len(lines(log, "retry")) == 3
    assert lines(log, "outage") == []


def test_a_call_that_alone_fails_is_logged_once(log: pytest.LogCaptureFixture) -> None:
    """A page that is always answered 500 while others succeed is a warning, and no outage."""

    async def use(session: IottlySession, service: Service) -> None:
        async def others() -> None:
            while service.now < 60:
                await session.call(page(), patience=inf)

        other = asyncio.create_task(others())
        with pytest.raises(ServerError):
            await session.call(page("/poison"), patience=50.0)
        await other

    with_service(use, poison=("poison", answers(500, OWN_ERROR)))
    warnings = [line for level, line in lines(log, "retry") if level == "WARNING"]
    (line,) = warnings
    assert line.startswith("messages.page fails (ServerError 500) while other calls succeed; ")
    assert line.endswith("it is tried again for up to 50 s")
    assert lines(log, "outage") == []


def test_no_line_holds_the_key_an_id_or_a_body(log: pytest.LogCaptureFixture) -> None:
    """What the service says and what is asked for is not in the log."""
    body = f'{{"error": "the secret of {CANARY}"}}'.encode()

    async def use(session: IottlySession, _: Service) -> None:
        calls = [page(f"/secret-device-{number}") for number in range(5)]
        await asyncio.gather(*(session.call(call, patience=inf) for call in calls))

    with_service(use, (0.0, 60.0), failure=answers(503, body, retry_after="20"))
    texts = [record.getMessage() for record in log.records if record.name.startswith("iottly")]
    assert len(texts) > 5
    assert not any(shows_key(text) or "secret" in text for text in texts)
