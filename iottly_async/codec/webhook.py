"""Reads what the platform posts to a webhook: a message in an envelope, or a bare payload."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from ..errors import DecodeError
from ..models import Message
from .json_slices import cut_object
from .messages import decode_message
from .values import BOM, read_json


class _Envelope(msgspec.Struct):
    msg: msgspec.Raw


_decode_envelope: Final = msgspec.json.Decoder(_Envelope).decode


def decode_webhook(body: bytes, *, enveloped: bool = True) -> Message:
    """Read the message from a webhook's envelope; its other fields are ignored (D8).

    A payload that is not valid JSON is kept as bytes, as in a page.

    Args:
        body: JSON.
        enveloped: False if the body is the message itself, taken out of a form.

    Raises:
        DecodeError: there is no envelope, or no message of a documented form in it.
    """
    message = _message_slice(body.removeprefix(BOM)) if enveloped else body
    try:
        return decode_message(message)
    except DecodeError as error:
        fault = error
    raise DecodeError(str(fault), path=f"$.msg{fault.path[1:]}")


def decode_webhook_payload(body: bytes) -> Any:
    """Read the payload of a webhook with the option "payload only": any JSON value.

    Raises:
        DecodeError: it is not valid JSON.
    """
    return read_json(body)


def _message_slice(body: bytes) -> bytes:
    try:
        return bytes(_decode_envelope(body).msg)
    except (ValueError, RecursionError):
        pass
    members = cut_object(body)
    if "msg" not in members:
        raise DecodeError("expected this field", path="$.msg")
    return members["msg"]
