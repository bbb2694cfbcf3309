"""The body of a webhook may be a form and may be compressed."""

from __future__ import annotations

import gzip
import json
import tracemalloc
import zlib
from typing import Any
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iottly_async import DecodeError, Message, WebhookEncodingError, WebhookTooLargeError
from iottly_async.webhooks.parse import parse_webhook

SECRET = "a-shared-secret"
HEADERS: dict[str, Any] = {"X-Iottly-Secret": SECRET}
ROW: dict[str, Any] = {
    "from": "device",
    "to": "project",
    "timestamp": {"$date": 1775037600000},
    "type": "userdefined",
    "payload": {"text": "37 °C + 1 = 38 & more %41", "n": 1},
}
TEXT = json.dumps(ROW)
JSON = json.dumps({"msg": ROW}).encode()


def parse(body: bytes, headers: dict[str, Any] | None = None, **options: Any) -> Any:
    """`parse_webhook` with the secret and these headers."""
    return parse_webhook(body, headers={**HEADERS, **(headers or {})}, secret=SECRET, **options)


FORM_TYPE = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize(
    "form",
    [
        urlencode({"msg": TEXT}),
        f"msg={quote(TEXT)}",
        f"msg={quote_plus(TEXT)}&",
        urlencode({"hook": 7, "msg": TEXT, "sent": "now"}),
        f"%6dsg={quote(TEXT)}\r\n",
    ],
)
@pytest.mark.parametrize("headers", [{}, FORM_TYPE], ids=["no type", "its type"])
def test_a_form_becomes_a_message(form: str, headers: dict[str, str]) -> None:
    """The open-source platform posts ``msg=<json>``; it is the same message as in an envelope."""
    message = parse(form.encode(), headers)
    assert message == parse(JSON)
    assert message.payload == ROW["payload"]
    assert message.key == parse(JSON).key


def test_a_json_body_is_json_whatever_type_is_declared() -> None:
    """The documents do not say which content type the platform sends."""
    assert parse(JSON, FORM_TYPE) == parse(JSON)


def test_a_payload_may_stand_in_a_form() -> None:
    """With "payload only" the field holds the payload."""
    assert parse(urlencode({"msg": '{"t": 1}'}).encode(), payload_only=True) == {"t": 1}


@pytest.mark.parametrize(
    ("form", "path"),
    [
        (b"msg=", "$.msg"),
        (b"msg=%7B", "$.msg"),
        (b"other=1", "$.msg"),
        (b"msg=1&msg=2", "$.msg"),
        (b"msg=%7B%7D", "$.msg.from"),
        (b"msg=%zz", "$.msg"),
        (b"=%7B%7D", "$"),
        (urlencode({"msg": '{"from": "d", "timestamp": "soon"}'}).encode(), "$.msg.timestamp"),
    ],
)
def test_a_form_without_a_message_is_a_decode_error(form: bytes, path: str) -> None:
    """The error names the place, as in JSON."""
    with pytest.raises(DecodeError) as caught:
        parse(form)
    assert caught.value.path == path


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=40), max_size=4))
def test_any_form_is_a_message_or_a_decode_error(fields: dict[str, str]) -> None:
    """No form raises any other error."""
    for body in (urlencode(fields), urlencode({**fields, "msg": TEXT})):
        try:
            assert isinstance(parse(body.encode()), Message)
        except DecodeError:
            continue


# -- compression -----------------------------------------------------------------------------------


@pytest.mark.parametrize("coding", ["gzip", "GZIP", "x-gzip", " gzip ", ["gzip"], "identity", None])
@pytest.mark.parametrize("body", [JSON, urlencode({"msg": TEXT}).encode()], ids=["JSON", "form"])
def test_a_body_may_be_compressed(body: bytes, coding: Any) -> None:
    """gzip is decompressed, also if its header is missing."""
    headers = {} if coding is None else {"Content-Encoding": coding}
    assert parse(gzip.compress(body), headers) == parse(JSON)


def test_a_body_that_a_gateway_has_decompressed_is_read() -> None:
    """Some gateways leave the header as it was."""
    assert parse(JSON, {"Content-Encoding": "gzip"}) == parse(JSON)


@pytest.mark.parametrize(
    "coding", ["br", "deflate", "zstd", "gzip, br", "gzip, gzip", ["gzip", "br"], "unknown"]
)
def test_another_encoding_is_refused(coding: Any) -> None:
    """The error says which are read, and to answer 415."""
    with pytest.raises(WebhookEncodingError, match="gzip") as caught:
        parse(zlib.compress(JSON), {"Content-Encoding": coding})
    assert caught.value.status == 415


def test_a_body_that_is_too_large_decompressed_is_refused() -> None:
    """Decompression stops at `max_bytes`: a small body cannot fill the memory."""
    bomb = gzip.compress(b" " * 50_000_000, compresslevel=1)
    tracemalloc.start()
    with pytest.raises(WebhookTooLargeError) as caught:
        parse(bomb, max_bytes=len(bomb))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert caught.value.status == 413
    assert peak < 5_000_000
    assert parse(gzip.compress(JSON), max_bytes=len(JSON)) == parse(JSON)
    with pytest.raises(WebhookTooLargeError):
        parse(gzip.compress(JSON), max_bytes=len(JSON) - 1)


WHOLE = gzip.compress(JSON)


@pytest.mark.parametrize(
    "body",
    [WHOLE[:-1], WHOLE[:20], WHOLE[:2], WHOLE + b"x", WHOLE * 2, WHOLE[:-5] + b"\0" + WHOLE[-4:]],
    ids=["cut", "short", "magic", "trailing", "twice", "checksum"],
)
def test_damaged_data_is_a_decode_error(body: bytes) -> None:
    """Neither a half message nor an error of the zlib library comes out of it."""
    with pytest.raises(DecodeError) as caught:
        parse(body)
    assert caught.value.path == "$"


@given(st.binary(max_size=100))
def test_any_compressed_data_is_a_message_or_a_decode_error(tail: bytes) -> None:
    """No body raises any other error."""
    for body in (b"\x1f\x8b" + tail, gzip.compress(tail), WHOLE[: len(tail)] + tail):
        try:
            assert isinstance(parse(body), Message)
        except DecodeError:
            continue
