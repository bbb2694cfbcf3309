"""The rate limit: three algorithms, three headers, one quota for each API key."""

from email.utils import parsedate_to_datetime

import aiohttp
import pytest

from iottly_async.emulator import Emulator
from iottly_async.emulator.quota import FixedWindow, QuotaDecision, SlidingLog, TokenBucket
from iottly_async.emulator.settings import Algorithm, RefusalBody, Rounding

from .conftest import Api


def test_a_fixed_window() -> None:
    """A window admits its limit, and the next begins at a multiple of its length."""
    quota = FixedWindow(2, 10)
    assert quota.take(1003) == QuotaDecision(True, 2, 1, 1010)
    assert quota.take(1009.9) == QuotaDecision(True, 2, 0, 1010)
    assert quota.take(1009.9) == QuotaDecision(False, 2, 0, 1010)
    assert quota.take(1010) == QuotaDecision(True, 2, 1, 1020)


def test_a_sliding_log() -> None:
    """Any interval of a window's length admits the limit; each request leaves it in turn."""
    quota = SlidingLog(2, 10)
    assert quota.take(1003) == QuotaDecision(True, 2, 1, 1013)
    assert quota.take(1005) == QuotaDecision(True, 2, 0, 1013)
    assert quota.take(1012.9) == QuotaDecision(False, 2, 0, 1013)
    assert quota.take(1013) == QuotaDecision(True, 2, 0, 1015)


def test_a_token_bucket() -> None:
    """A full bucket admits its limit at once, and then one request at a time, evenly."""
    quota = TokenBucket(2, 10)
    assert quota.take(1000) == QuotaDecision(True, 2, 1, 1005)
    assert quota.take(1000) == QuotaDecision(True, 2, 0, 1010)
    assert quota.take(1004.9).admitted is False
    assert quota.take(1005) == QuotaDecision(True, 2, 0, 1015)
    assert quota.take(1005).admitted is False
    assert [quota.take(1100).admitted for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize("quota", [FixedWindow(3, 60), SlidingLog(3, 60), TokenBucket(3, 60)])
def test_a_refusal_costs_nothing(quota: FixedWindow | SlidingLog | TokenBucket) -> None:
    """However many requests are refused, the next window has its full limit."""
    for _ in range(100):
        quota.take(600)
    assert [quota.take(660).admitted for _ in range(4)] == [True, True, True, False]


@pytest.mark.parametrize("algorithm", ["fixed", "sliding", "bucket"])
async def test_beyond_the_limit(http: aiohttp.ClientSession, algorithm: Algorithm) -> None:
    """Beyond the limit the answer is 429 in its generation's shape, and nothing is executed."""
    async with Emulator(devices=1, messages=5, rate_limit=3, rate_algorithm=algorithm) as emulator:
        emulator.clock.pin(1_700_000_000_000)
        api = Api(emulator, http)
        remaining = [(await api.page()).headers["X-RateLimit-Remaining"] for _ in range(3)]
        assert remaining == ["2", "1", "0"]
        answer = await api.page()
        assert answer.status == 429
        assert isinstance(answer.json["error"], str)
        answer = await api.ask("POST", f"{api.fleet_device}/commands", json={"command": "true"})
        assert (answer.status, answer.json["error"]["code"]) == (429, "rate_limited")
        assert answer.headers["X-RateLimit-Remaining"] == "0"
        assert emulator.commands == []
        assert [record.refused for record in emulator.requests] == [False] * 3 + [True] * 2


async def test_every_answer_has_the_headers(http: aiohttp.ClientSession) -> None:
    """Errors for an accepted key have the headers too; a key that is not accepted has no quota."""
    async with Emulator(devices=1, messages=0, rate_limit=600) as emulator:
        api = Api(emulator, http)
        answers = [
            await api.page(),
            await api.page(l=0),
            await api.get("/v1/nothing"),
            await api.get("/v1/devices/none"),
        ]
        assert [answer.status for answer in answers] == [404, 400, 404, 404]
        assert [a.headers["X-RateLimit-Remaining"] for a in answers] == ["599", "598", "597", "596"]
        assert "X-RateLimit-Limit" not in (await api.get(api.pages, headers={})).headers


async def test_v10_may_be_without_headers(http: aiohttp.ClientSession) -> None:
    """The headers can be omitted on v1.0; both generations still share the quota (D1)."""
    async with Emulator(devices=1, messages=5, rate_limit="starter", rate_headers="v1") as emulator:
        api = Api(emulator, http)
        assert "X-RateLimit-Limit" not in (await api.page()).headers
        headers = (await api.get("/v1/devices")).headers
        assert (headers["X-RateLimit-Limit"], headers["X-RateLimit-Remaining"]) == ("60", "58")


@pytest.mark.parametrize("algorithm", ["fixed", "sliding", "bucket"])
@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("body", ["api", "html"])
async def test_refusals_without_headers(
    http: aiohttp.ClientSession, algorithm: Algorithm, status: int, body: RefusalBody
) -> None:
    """A refusal may have no header that tells the limit, and a proxy's page as its body (D17)."""
    async with Emulator(
        devices=1,
        messages=5,
        rate_limit=2,
        rate_algorithm=algorithm,
        rate_headers="none",
        refusal_status=status,
        refusal_body=body,
    ) as emulator:
        emulator.clock.pin()
        api = Api(emulator, http)
        for path in (api.pages, "/v1/devices"):
            answers = [await api.get(path) for _ in range(3)]
            assert [a.status for a in answers[-1:]] == [status]
            assert not [name for a in answers for name in a.headers if "RateLimit" in name]
            assert "Retry-After" not in answers[-1].headers
            if body == "html":
                assert answers[-1].headers["Content-Type"] == "text/html"
            else:
                assert "error" in answers[-1].json


async def test_unlimited(api: Api) -> None:
    """Without a limit there are no headers."""
    assert not [name for name in (await api.page()).headers if name.startswith("X-RateLimit")]


async def test_each_key_has_its_own_quota(http: aiohttp.ClientSession) -> None:
    """Requests with one key leave the quota of another key unchanged."""
    async with Emulator(devices=1, messages=5, rate_limit=1, api_keys=("one", "two")) as emulator:
        emulator.clock.pin()
        api = Api(emulator, http)
        statuses = [(await api.get("/v1/devices", key=key)).status for key in ("one", "one", "two")]
        assert statuses == [200, 429, 200]


@pytest.mark.parametrize(("rounding", "reset"), [("up", "1008"), ("down", "1007")])
async def test_the_rounding_of_reset(
    http: aiohttp.ClientSession, rounding: Rounding, reset: str
) -> None:
    """`X-RateLimit-Reset` is in whole seconds, rounded as the settings say."""
    async with Emulator(
        devices=1, messages=0, rate_limit=9, rate_window=2.5, reset_rounding=rounding
    ) as emulator:
        emulator.clock.pin(1_005_100)
        headers = (await Api(emulator, http).page()).headers
        assert headers["X-RateLimit-Reset"] == reset


async def test_retry_after(http: aiohttp.ClientSession) -> None:
    """With `retry_after`, a 429 says after how many seconds there is quota again."""
    async with Emulator(devices=1, messages=0, rate_limit=1, retry_after=True) as emulator:
        emulator.clock.pin(1_000_500)
        api = Api(emulator, http)
        assert "Retry-After" not in (await api.page()).headers
        assert (await api.page()).headers["Retry-After"] == "20"
        emulator.clock.advance(20)
        assert (await api.page()).status == 404


async def test_another_client_of_the_key(http: aiohttp.ClientSession) -> None:
    """Quota that another client used is gone."""
    async with Emulator(devices=1, messages=0, rate_limit=60) as emulator:
        emulator.clock.pin()
        emulator.spend(40)
        headers = (await Api(emulator, http).page()).headers
        assert headers["X-RateLimit-Remaining"] == "19"


async def test_a_clock_that_is_off(http: aiohttp.ClientSession) -> None:
    """`Date` and `X-RateLimit-Reset` follow the server's clock, with its offset."""
    async with Emulator(devices=1, messages=0, rate_limit=60, clock_offset=86_400) as emulator:
        emulator.clock.offset += 3_600
        headers = (await Api(emulator, http).page()).headers
        date = parsedate_to_datetime(headers["Date"]).timestamp()
        assert abs(date - emulator.clock.time()) < 60
        assert 0 < int(headers["X-RateLimit-Reset"]) - date <= 61
