"""FastAPI endpoints that return models without saying so in a type."""

from __future__ import annotations

import json
from typing import Any

import attrs
import pytest
from fastapi import FastAPI
from fastapi.encoders import ENCODERS_BY_TYPE, jsonable_encoder
from fastapi.responses import JSONResponse
from fastapi.testclient import TestClient
from pydantic import TypeAdapter

from iottly_async import Cursor, MessageBatch
from iottly_async.integrations.fastapi import install
from tests.support.model_examples import CURSOR, EXAMPLES, MESSAGE

BY_NAME = pytest.mark.parametrize("value", EXAMPLES, ids=lambda value: type(value).__name__)
BAD = attrs.evolve(MESSAGE, payload_json=b'{"t": NaN}', extra={"more": b"\xff"})


def responses(app: FastAPI, value: Any) -> dict[str, Any]:
    """What an application answers for a value, by each way to return it; always in a list."""

    @app.get("/nothing")
    async def nothing():  # type: ignore[no-untyped-def]
        return [value]

    @app.get("/nested")
    async def nested():  # type: ignore[no-untyped-def]
        return {"values": (value,)}

    @app.get("/dict")
    async def of_dict() -> dict[str, Any]:
        return {"values": [value]}

    @app.get("/any")
    async def of_any() -> Any:
        return [value]

    @app.get("/list")
    async def of_list() -> list[Any]:
        return [value]

    @app.get("/response")
    async def response() -> JSONResponse:
        return JSONResponse(jsonable_encoder([value]))

    @app.get("/model", response_model=list[type(value)])  # type: ignore[misc]
    async def model() -> Any:
        return [value]

    with TestClient(app) as client:
        found = {}
        for path in ("nothing", "nested", "dict", "any", "list", "response", "model"):
            answer = client.get(f"/{path}")
            assert answer.status_code == 200, path
            body = answer.json()
            found[path] = body["values"] if isinstance(body, dict) else body
        return found


@BY_NAME
def test_an_endpoint_needs_no_type(value: Any) -> None:
    """With any type or none, the response is the one of an endpoint with the model's type."""
    app = FastAPI()
    install(app)
    expected = [TypeAdapter(type(value)).dump_python(value, mode="json")]
    for path, found in responses(app, value).items():
        assert found == expected, path


@BY_NAME
def test_models_alone_suffice(value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same without `install`; only a cursor is an object then, where no type says Cursor."""
    monkeypatch.delitem(ENCODERS_BY_TYPE, Cursor, raising=False)
    expected = [TypeAdapter(type(value)).dump_python(value, mode="json")]
    for path, found in responses(FastAPI(), value).items():
        if value is CURSOR and path in ("nothing", "nested", "response"):
            assert Cursor.from_json(json.dumps(found[0])) == CURSOR
        else:
            assert found == expected, path


def test_one_bad_payload_does_not_fail_the_response() -> None:
    """A payload that is not JSON is written as text, whichever way it is returned."""
    batch = MessageBatch(messages=[MESSAGE, BAD], cursor=CURSOR)
    app = FastAPI()
    install(app)
    for path, (found,) in responses(app, batch).items():
        payloads = [message["payload"] for message in found["messages"]]
        assert payloads == [{"t": 37.4}, '{"t": NaN}'], path
        assert Cursor.from_json(found["cursor"]) == CURSOR
