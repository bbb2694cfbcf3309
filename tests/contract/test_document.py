"""The document of the API: it is valid, and so are the vendor's examples and its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.support.openapi import COPY, DOCUMENT, OPERATIONS, answer_problems, as_json, at, problems

SAMPLES: Final = Path(__file__).parents[1] / "samples"

ANSWERS: Final = {
    "project.json": "inspect",
    "licenses.json": "licenses",
    "devices.json": "devices",
    "history.json": "history",
    "fleet_devices.json": "fleet_devices",
    "fleet_command.json": "fleet_command",
    "fleet_command_result.json": "fleet_result",
}
REQUESTS: Final = {
    "rename.request.json": "rename",
    "command.request.json": "command",
    "command_echo.request.json": "command",
    "fleet_command.request.json": "fleet_command",
}
BODY: Final = "requestBody/content/application~1json/schema"
OTHERS: Final = {"README.md", "fleet_error.json", "rate_limit.headers"}


def sample(name: str) -> bytes:
    """A file of the vendor's examples."""
    return (SAMPLES / name).read_bytes()


def test_it_is_openapi() -> None:
    """Its structure is that of OpenAPI 3.1, every reference has a target, and every id is once."""
    assert list(OpenAPIV31SpecValidator(DOCUMENT).iter_errors()) == []


def test_the_emulator_has_the_same() -> None:
    """What the emulator serves is made from `docs/openapi.yaml`, with ``tests.support.openapi``."""
    assert COPY.read_text("utf-8") == as_json()


@pytest.mark.parametrize("name", sorted(ANSWERS))
def test_an_answer_on_the_vendors_page_is_valid(name: str) -> None:
    """Each answer that the page prints is valid for its operation."""
    kind = {"Content-Type": "application/json"}
    assert answer_problems(OPERATIONS[ANSWERS[name]], 200, kind, sample(name)) == []


@pytest.mark.parametrize("name", sorted(REQUESTS))
def test_a_body_on_the_vendors_page_is_valid(name: str) -> None:
    """Each request body that the page prints is valid for its operation."""
    assert problems(f"{OPERATIONS[REQUESTS[name]].place}/{BODY}", json.loads(sample(name))) == []


def test_the_error_on_the_vendors_page_is_valid() -> None:
    """The error that the page prints is valid for every error of the fleet API."""
    kind = {"Content-Type": "application/json"}
    for operation in OPERATIONS.values():
        if operation.path.startswith("/v1/"):
            for status in operation.value["responses"].keys() - {"200", "5XX"}:
                found = answer_problems(operation, int(status), kind, sample("fleet_error.json"))
                assert found == [], (operation.id, status)


def test_the_limits_on_the_vendors_page_are_valid() -> None:
    """The limit headers that the page prints are those of every answer."""
    lines = sample("rate_limit.headers").decode().splitlines()
    headers = dict(line.split(": ") for line in lines)
    for operation in OPERATIONS.values():
        for status, response in operation.value["responses"].items():
            if "$ref" in response:
                response = at(response["$ref"].removeprefix("#"))
            assert headers.keys() <= response["headers"].keys(), (operation.id, status)
    full = headers | {"Content-Type": "application/json"}
    assert answer_problems(OPERATIONS["ping"], 200, full, b'{"status": "pong"}') == []


def test_every_sample_is_checked() -> None:
    """Every file in the folder is one of those above."""
    files = {path.name for path in SAMPLES.iterdir()}
    assert files == ANSWERS.keys() | REQUESTS.keys() | OTHERS


def examples(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """The examples in a part of the document, with a pointer to the schema of each."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from examples(item, f"{place}/{index}")
    if not isinstance(value, dict):
        return
    schema = f"{place}/schema" if "schema" in value else place
    if "example" in value:
        yield schema, value["example"]
    named = value.get("examples")
    if isinstance(named, list):
        yield from ((schema, example) for example in named)
    elif named is not None:
        yield from ((schema, example["value"]) for example in named.values())
    for name, item in value.items():
        if name not in ("example", "examples"):
            yield from examples(item, f"{place}/{name.replace('/', '~1')}")


def test_its_own_examples_are_valid() -> None:
    """Each example is valid for the schema beside it."""
    found = list(examples(DOCUMENT))
    assert len(found) > 40
    assert {place: problems(place, value) for place, value in found if problems(place, value)} == {}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ("NaiveTime", "2018-07-27T17:50:04.968Z"),
        ("NaiveTime", "2018-13-27T17:50:04"),
        ("MongoDate", {"$date": "yesterday"}),
        ("ProjectError", {"error": {"code": "not_found"}}),
        ("FleetError", {"error": "not found"}),
        ("Licenses", {"token": {"status": "paired", "board": {}}}),
    ],
)
def test_what_differs_is_not_valid(schema: str, value: Any) -> None:
    """The checks of these tests refuse values of another form."""
    assert problems(f"/components/schemas/{schema}", value)


def test_unknown_fields_are_allowed() -> None:
    """A service may add fields to any object without leaving the document (D8)."""

    def closed(value: Any) -> list[Any]:
        parts = value.values() if isinstance(value, dict) else value
        if not isinstance(value, dict | list):
            return []
        own = (
            [value]
            if isinstance(value, dict) and value.get("additionalProperties") is False
            else []
        )
        return own + [found for part in parts for found in closed(part)]

    assert closed(DOCUMENT) == []
