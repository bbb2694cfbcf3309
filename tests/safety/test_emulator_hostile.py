"""Hostile requests to the emulator: it answers by its own rules, and its store stays whole."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from iottly_async.emulator import EmulatorThread

SQL = ["' OR 1=1 --", "'; DROP TABLE message; --", '" OR ""="', "%' --", "\\'", "NULL", "1e999"]
texts = st.one_of(st.text(max_size=30), st.sampled_from(SQL))
names = st.one_of(
    texts,
    st.sampled_from(
        [
            *("$where", "$expr", "$regex", "$function", "$accumulator", "$jsonSchema", "$text"),
            *("$and", "$or", "$nor", "$not", "$in", "$gt", "$exists", "$date", "$oid", "$ne"),
            *("type", "timestamp", "payload", "payload.a", "payload..a", "_id", "from"),
        ]
    ),
)
values = st.recursive(
    st.one_of(texts, st.integers(), st.floats(), st.booleans(), st.none()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture(scope="module", params=[False, True], ids=["mongodb", "plain"])
def emulator(request: pytest.FixtureRequest) -> Iterator[EmulatorThread]:
    """A fleet with messages, whose number must stay what it is, for each reading of filters."""
    with EmulatorThread(devices=1, messages=200, plain_filters=request.param) as emulator:
        yield emulator


def get(emulator: EmulatorThread, path: str) -> tuple[int, Any]:
    """Status and content of a GET with the right credential."""
    connection = http.client.HTTPConnection(emulator.base_url.removeprefix("http://"), timeout=20)
    try:
        headers = {
            "Authentication": f"bearer {emulator.api_key}",
            "Authorization": f"Bearer {emulator.api_key}",
        }
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def encoded(text: str) -> str:
    """A text for one segment or value, lone surrogates and all."""
    return quote(text.encode("utf-8", "surrogatepass"), safe="")


def assert_whole(emulator: EmulatorThread) -> None:
    """Every message is still there."""
    assert len(emulator.stored(emulator.device_ids[0])) == 200


@given(query=st.dictionaries(names, values, max_size=4))
@example(query={"$where": "while(1){}"})
@example(query={"timestamp": {"$gte": {"$date": "soon"}}})
@example(query={"timestamp": {"$gte": {"$date": 10**30}}})
@example(query={"payload.a": {"$regex": "(a+)+$"}})
@example(query={"$or": [{"$or": [{"$or": [{"type": "x"}]}]}]})
def test_a_filter_is_answered_or_refused(query: dict[str, Any], emulator: EmulatorThread) -> None:
    """Any filter gets rows or a 400; none runs code, fails inside, or changes the store."""
    device, project = emulator.device_ids[0], emulator.project_id
    path = f"/v1.0/project/{project}/messages/{device}?queryJson={encoded(json.dumps(query))}"
    status, answer = get(emulator, path)
    assert status in (200, 400)
    if any(name in json.dumps(query) for name in ('"$where"', '"$expr"', '"$function"')):
        assert status == 400
    if status == 200:
        assert len(answer["messages"]) <= 100
    assert_whole(emulator)


@given(text=texts)
def test_an_id_finds_nothing_or_is_refused(text: str, emulator: EmulatorThread) -> None:
    """Any id is one that is not there."""
    project = emulator.project_id
    for path in (
        f"/v1.0/project/{project}/device/{encoded(text)}/props",
        f"/v1.0/project/{project}/device/{encoded(text)}/messages/paginated",
        f"/v1.0/project/{encoded(text)}/inspect",
        f"/v1/devices/{encoded(text)}",
        f"/v1/commands/{encoded(text)}",
    ):
        assert get(emulator, path)[0] in (400, 403, 404)
    assert_whole(emulator)


@given(
    values=st.dictionaries(
        st.sampled_from(["p", "l", "type", "from", "to", "sort", "numMessages"]), texts, max_size=7
    )
)
def test_parameters_are_answered_or_refused(
    values: dict[str, str], emulator: EmulatorThread
) -> None:
    """Any parameters get a page of at most 100 rows, none, or a 400."""
    query = "&".join(f"{name}={encoded(value)}" for name, value in values.items())
    device, project = emulator.device_ids[0], emulator.project_id
    status, answer = get(
        emulator, f"/v1.0/project/{project}/device/{device}/messages/paginated?{query}"
    )
    assert status in (200, 400, 404)
    if status == 200:
        assert len(answer["messages"]) <= 100
    assert_whole(emulator)
