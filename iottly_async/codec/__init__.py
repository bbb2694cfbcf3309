"""Reads bytes into models, and writes arguments into bytes. Pure.

Only this room knows the names of fields and parameters on the wire.
"""

from .answers import Answers, read_error
from .converter import make_converter
from .history_filter import check_times
from .json_slices import cut_object
from .messages import decode_history, decode_message, decode_page
from .requests import (
    MESSAGE_TYPES,
    ORDERS,
    choice,
    encode_command,
    encode_fleet_command,
    encode_rename,
    fleet_query,
    history_filter,
    history_query,
    page_query,
    tie_filter,
)
from .rows import DecodedRows
from .webhook import decode_webhook, decode_webhook_payload

__all__ = [
    "MESSAGE_TYPES",
    "ORDERS",
    "Answers",
    "DecodedRows",
    "check_times",
    "choice",
    "cut_object",
    "decode_history",
    "decode_message",
    "decode_page",
    "decode_webhook",
    "decode_webhook_payload",
    "encode_command",
    "encode_fleet_command",
    "encode_rename",
    "fleet_query",
    "history_filter",
    "history_query",
    "make_converter",
    "page_query",
    "read_error",
    "tie_filter",
]
