"""Webhooks are accepted only with the secret, and their body is read or refused."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iottly_async import (
    ConfigurationError,
    DecodeError,
    IottlyError,
    IottlySession,
    Message,
    MessageType,
    WebhookSecretError,
    WebhookTooLargeError,
)
from iottly_async.emulator import Emulator
from iottly_async.webhooks.parse import WebhookReceiver, parse_webhook

SECRET = "a-shared-secret-of-a-project"
HEADERS = {"x-iottly-secret": SECRET, "content-type": "application/json"}
MESSAGE: dict[str, Any] = {
    "from": "3781de91-d446-4c64-825d-756dd60f2dab",
    "to": "59c19cacecc01400075f3bc9",
    "timestamp": "2017-09-20T00:33:27.230Z",
    "devicetimestamp": "2017-09-20T00:33:26",
    "type": "userdefined",
    "payload": {"sensor_data_reading": {"temperature": 37.4}},
}
BODY = json.dumps({"msg": MESSAGE}).encode()
VISIBLE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=40)


def parse(body: bytes, **options: Any) -> Any:
    """`parse_webhook` with the right secret."""
    return parse_webhook(body, headers=HEADERS, secret=SECRET, **options)


def test_the_envelope_becomes_a_message() -> None:
    """Every documented field of `{"msg": {…}}` is read."""
    message = parse(BODY)
    assert message == Message(
        device_id=MESSAGE["from"],
        project_id=MESSAGE["to"],
        timestamp=datetime(2017, 9, 20, 0, 33, 27, 230_000, tzinfo=UTC),
        device_timestamp=datetime(2017, 9, 20, 0, 33, 26, tzinfo=UTC),
        type=MessageType.USERDEFINED,
        payload_json=json.dumps(MESSAGE["payload"]).encode(),
    )
    assert message.payload == MESSAGE["payload"]


def test_a_bare_payload_is_decoded() -> None:
    """With "payload only" the body is the payload and nothing else."""
    assert parse(b'{"temperature": 37.4}', payload_only=True) == {"temperature": 37.4}


async def test_the_key_is_that_of_the_message_read_over_rest(
    emulator: Emulator, session: IottlySession
) -> None:
    """A message has the same key by webhook and by REST, so that a store keeps it once."""
    device = emulator.device_ids[0]
    messages = session.project(emulator.project_id).messages
    (over_rest,) = (await messages.page(device, size=1)).messages
    assert over_rest.type is not None
    assert over_rest.device_timestamp is not None
    row = {
        "from": device,
        "to": emulator.project_id,
        "timestamp": over_rest.timestamp.isoformat(),
        "devicetimestamp": over_rest.device_timestamp.isoformat(),
        "type": str(over_rest.type),
        "payload": over_rest.payload,
        **({} if over_rest.channel is None else {"channel": over_rest.channel}),
    }
    assert parse(json.dumps({"msg": row}).encode()).key == over_rest.key


def test_unknown_fields_are_no_error() -> None:
    """A field beside `msg` is ignored, and one within it is kept in `extra` (D8)."""
    row = {**MESSAGE, "signal": -71}
    message = parse(json.dumps({"hook": 7, "msg": row}).encode())
    assert message.extra == {"signal": -71}


def test_an_invalid_payload_is_not_read() -> None:
    """The message is returned, and the error is raised when its payload is read."""
    body = BODY.replace(b"37.4", b"NaN")
    message = parse(body)
    assert b"NaN" in message.payload_json
    with pytest.raises(DecodeError):
        message.payload  # noqa: B018 - reading it is the point


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b"", "$"),
        (b"not json", "$"),
        (b"[]", "$"),
        (b'"msg"', "$"),
        (b"[" * 10_000, "$"),
        (b"{}", "$.msg"),
        (b'{"msg": 7}', "$.msg"),
        (b'{"msg": {}}', "$.msg.from"),
        (BODY.replace(b"2017-09-20T00:33:27.230Z", b"yesterday"), "$.msg.timestamp"),
    ],
)
def test_an_invalid_body_is_a_decode_error_with_a_path(body: bytes, path: str) -> None:
    """The error names the place in the body, and is never the error of another library."""
    with pytest.raises(DecodeError) as caught:
        parse(body)
    assert caught.value.path == path


def test_an_optional_field_that_cannot_be_read_is_kept_in_extra() -> None:
    """A device time of "Invalid date" and a number as type do not lose the message (D8)."""
    odd = {**MESSAGE, "type": 7, "devicetimestamp": "Invalid date"}
    message = parse(json.dumps({"msg": odd}).encode())
    assert message.type == "7"
    assert message.device_timestamp is None
    assert message.extra == {"devicetimestamp": "Invalid date"}


@given(body=st.binary(max_size=200))
def test_any_body_is_a_message_or_a_decode_error(body: bytes) -> None:
    """No body raises any other error."""
    for whole in (body, b'{"msg":' + body + b"}", BODY[: len(body)] + body):
        try:
            assert isinstance(parse(whole), Message)
        except DecodeError:
            continue


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-iottly-secret": ""},
        {"x-iottly-secret": SECRET[:-1]},
        {"x-iottly-secret": SECRET + " "},
        {"x-iottly-secret": SECRET.upper()},
        {"x-iottly-secret": "é" * 28},
        {"x-iottly-secret": "\udce9"},
        {"authorization": SECRET},
        {"x-iottly-secret": SECRET, "X-Iottly-Secret": SECRET},
    ],
)
def test_without_the_secret_the_body_is_not_read(headers: dict[str, str]) -> None:
    """A missing, wrong or repeated header is refused before an invalid body is."""
    with pytest.raises(WebhookSecretError) as caught:
        parse_webhook(b"\xff", headers=headers, secret=SECRET)
    assert caught.value.status == 403


@given(secret=VISIBLE, value=st.text(max_size=40))
def test_only_the_secret_itself_is_accepted(secret: str, value: str) -> None:
    """No other text is accepted."""
    receiver = WebhookReceiver(secret=secret)
    receiver.check({"X-IOTTLY-SECRET": secret})
    if value != secret:
        with pytest.raises(WebhookSecretError):
            receiver.check({"X-Iottly-Secret": value})


@pytest.mark.parametrize(
    ("headers", "accepted"),
    [
        ({"X-Iottly-Secret": [SECRET]}, True),
        ({"x-iottly-secret": (SECRET,), "accept": ["a", "b"]}, True),
        ({"x-iottly-secret": [SECRET, SECRET]}, False),
        ({"x-iottly-secret": [SECRET, "other"]}, False),
        ({"x-iottly-secret": [SECRET], "X-Iottly-Secret": SECRET}, False),
        ({"x-iottly-secret": []}, False),
        ({"x-iottly-secret": ["other"]}, False),
        ({"x-iottly-secret": None}, False),
        ({"x-iottly-secret": [[SECRET]]}, False),
        ({7: SECRET}, False),
    ],
    ids=repr,
)
def test_a_header_may_be_given_as_a_list_of_values(headers: Any, accepted: bool) -> None:
    """Gateways give each header as a list; a list of one value is that value, and no other is."""
    receiver = WebhookReceiver(secret=SECRET)
    if accepted:
        receiver.check(headers)
        return
    with pytest.raises(WebhookSecretError):
        receiver.check(headers)


def test_two_secrets_can_be_accepted() -> None:
    """During a change the old and the new secret are accepted, and no third one."""
    receiver = WebhookReceiver(secret=["old", "new"], header="X-Mine")
    receiver.check({"x-mine": "old"})
    receiver.check({"x-mine": "new"})
    with pytest.raises(WebhookSecretError):
        receiver.check({"x-mine": "oldnew"})


@pytest.mark.parametrize("secret", ["", [], ["good", ""], "with space", "é", None, b"bytes", [7]])
def test_an_invalid_secret_is_refused(secret: Any) -> None:
    """An empty secret, no secret, or one that cannot stand in a header is refused at once."""
    with pytest.raises(ConfigurationError, match="secret must be"):
        WebhookReceiver(secret=secret)


@pytest.mark.parametrize("body", ['{"msg": {}}', {"msg": {}}, None], ids=repr)
@pytest.mark.parametrize("payload_only", [True, False])
def test_a_body_that_is_not_bytes_is_refused(body: Any, payload_only: bool) -> None:
    """The text or JSON that a framework made of the body is a mistake of the caller."""
    with pytest.raises(ConfigurationError, match="body must be the request"):
        parse_webhook(body, headers=HEADERS, secret=SECRET, payload_only=payload_only)  # type: ignore[call-overload]


def test_headers_that_are_no_mapping_are_refused() -> None:
    """This is a mistake of the caller, not of the sender."""
    with pytest.raises(ConfigurationError, match="headers must be a mapping"):
        parse_webhook(BODY, headers=None, secret=SECRET)  # type: ignore[call-overload]


@pytest.mark.parametrize("header", ["", "X Secret", "X:Secret", "X-Sécret", 7])
def test_an_invalid_header_name_is_refused(header: Any) -> None:
    """A header that cannot arrive would refuse every webhook, so it is refused at once."""
    with pytest.raises(ConfigurationError, match="header must be"):
        WebhookReceiver(secret=SECRET, header=header)


@pytest.mark.parametrize(
    ("headers", "secret", "body"),
    [
        (HEADERS, [SECRET, "ends with a space "], BODY),
        ({"x-iottly-secret": SECRET}, "the new one", BODY),
        (HEADERS, SECRET, b"not a webhook"),
    ],
)
def test_no_error_shows_a_secret(
    headers: dict[str, str], secret: str | Sequence[str], body: bytes
) -> None:
    """Neither an error nor the local variables of its traceback hold a secret."""
    with pytest.raises(IottlyError) as caught:
        parse_webhook(body, headers=headers, secret=secret)
    shown = [repr(entry.frame.f_locals) for entry in caught.traceback[1:]]
    assert SECRET not in f"{caught.value} {shown}"
    assert SECRET not in repr(WebhookReceiver(secret=SECRET))


def test_a_body_that_is_too_large_is_refused() -> None:
    """One byte more than `max_bytes` is refused, before the body is parsed."""
    assert parse(BODY, max_bytes=len(BODY)).device_id == MESSAGE["from"]
    with pytest.raises(WebhookTooLargeError) as caught:
        parse(b"\xff" * (len(BODY) + 1), max_bytes=len(BODY))
    assert caught.value.status == 413
