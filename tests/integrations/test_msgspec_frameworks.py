"""Models as responses of frameworks that write JSON by msgspec: Litestar, and Falcon with it."""

from typing import Any

import attrs
import msgspec
import pytest

from iottly_async import Cursor, Device, Message, MessageBatch
from tests.support.model_examples import CURSOR, MESSAGE

BAD = attrs.evolve(MESSAGE, payload_json=b'{"t": NaN}')
BATCH = MessageBatch(messages=[MESSAGE, BAD], cursor=CURSOR)
DEVICE = Device(id="d", extra={"installing": False})


def assert_written(found: dict[str, Any]) -> None:
    """Check the response with a batch, a message and a device."""
    assert found["device"] == DEVICE.to_dict()
    assert found["message"] == MESSAGE.to_dict()
    good, bad = found["batch"]["messages"]
    assert good == MESSAGE.to_dict()
    assert bad["payload_text"] == '{"t": NaN}'
    assert Cursor(**{**found["batch"]["cursor"], "remaining": ((5, 9),), "recent": ()}) == CURSOR


VALUES: dict[str, Any] = {"batch": BATCH, "message": MESSAGE, "device": DEVICE}


def test_litestar() -> None:
    """Handlers may return models, lists of them, and any value with models within."""
    litestar = pytest.importorskip("litestar", reason="litestar is not installed")
    testing = pytest.importorskip("litestar.testing", reason="litestar is not installed")

    async def values() -> dict[str, Any]:
        return VALUES

    async def message() -> Message:
        return MESSAGE

    async def messages() -> list[Message]:
        return BATCH.messages

    async def batch() -> MessageBatch:
        return BATCH

    endpoints = (values, message, messages, batch)
    handlers = [litestar.get(f"/{each.__name__}")(each) for each in endpoints]
    with testing.TestClient(litestar.Litestar(handlers)) as client:
        assert_written(client.get("/values").json())
        found = {
            "message": client.get("/message").json(),
            "batch": client.get("/batch").json(),
            "device": DEVICE.to_dict(),
        }
        assert_written(found)
        assert client.get("/messages").json() == found["batch"]["messages"]
        assert client.get("/schema/openapi.json").status_code == 200


def test_falcon() -> None:
    """With msgspec as its JSON handler, Falcon's `resp.media` may hold models."""
    falcon = pytest.importorskip("falcon", reason="falcon is not installed")
    media = pytest.importorskip("falcon.media", reason="falcon is not installed")
    testing = pytest.importorskip("falcon.testing", reason="falcon is not installed")
    asgi = pytest.importorskip("falcon.asgi", reason="falcon is not installed")

    class Values:
        async def on_get(self, _request: Any, response: Any) -> None:
            response.media = VALUES

    app = asgi.App()
    handler = media.JSONHandler(dumps=msgspec.json.encode, loads=msgspec.json.decode)
    app.resp_options.media_handlers[falcon.MEDIA_JSON] = handler
    app.add_route("/values", Values())
    assert_written(testing.TestClient(app).simulate_get("/values").json)
