"""The records of requests."""

import aiohttp

from iottly_async.emulator import Emulator

from .conftest import Api


async def test_old_requests_are_forgotten(http: aiohttp.ClientSession) -> None:
    """Only the newest requests are kept, but all of them are counted."""
    async with Emulator(devices=1, messages=1, record_limit=3) as emulator:
        api = Api(emulator, http)
        for _ in range(5):
            await api.get("/v1.0/project/ping")
        assert [record.number for record in emulator.requests] == [3, 4, 5]
        await emulator.until_requests(5)


async def test_the_key_is_not_in_the_record(api: Api) -> None:
    """The record of a request holds no credential."""
    await api.get("/v1.0/project/ping")
    (record,) = api.emulator.requests
    assert api.emulator.api_key not in repr(record)
    assert (record.method, record.path, record.status) == ("GET", "/v1.0/project/ping", 200)
    assert (record.generation, record.route, record.authorized) == ("v1.0", "ping", True)


async def test_the_record_counts_rows(api: Api) -> None:
    """A request's record has the rows in its answer and the rows that the server skipped."""
    await api.page(p=3, l=10)
    record = api.emulator.requests[-1]
    assert (record.rows, record.skipped, record.query) == (10, 20, {"p": "3", "l": "10"})
