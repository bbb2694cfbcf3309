"""Reads bytes into models, and writes arguments into bytes. Pure.

Only this room knows the names of fields and parameters on the wire.
"""

from .answers import Answers, read_error
from .converter import make_converter
from .forms import DOCUMENTED_TIMES, AnswerForms, AnswerKind, describe_answer
from .history_filter import check_times
from .json_slices import cut_object, is_object
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
    "DOCUMENTED_TIMES",
    "MESSAGE_TYPES",
    "ORDERS",
    "AnswerForms",
    "AnswerKind",
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
    "describe_answer",
    "encode_command",
    "encode_fleet_command",
    "encode_rename",
    "fleet_query",
    "history_filter",
    "history_query",
    "is_object",
    "make_converter",
    "page_query",
    "read_error",
    "tie_filter",
]
