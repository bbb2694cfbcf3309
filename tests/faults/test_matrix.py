"""The table of all that can go wrong with a call, and which test covers each case.

Each cell names a test of `FOLDERS` and what its parameters must have. What every cell's test
asserts is in `support.calls` (class and facts of the error, how often the request arrived),
in `leaves_nothing` (no task and no socket is left), and in `test_in_time` (the deadline).
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.support.calls import VERBS

ALL = tuple(verb.method for verb in VERBS)
READS = ("GET", "PUT")
NONE = ("",)
"""For cells in which the verb makes no difference."""

FOLDERS = ("transport", "pipeline", "faults")

Cell = tuple[str, str, tuple[str, ...]]


def cells(test: str, *parts: str, verbs: tuple[str, ...] = ALL) -> list[Cell]:
    """Make a cell for each part of a test's parameters, over some verbs."""
    return [(test, part, verbs) for part in parts or ("",)]


CONTENT_FIELDS = (
    *("inspect", "license", "licenses", "devices", "device", "renamed", "page", "history"),
    *("fleet-page", "fleet-device", "result", "command"),
)
ANOTHER_ID = (
    *("fleet-device", "inspect", "device", "rename", "result", "license", "page", "history"),
)
STATUSES = ("400", "401", "403", "404", "409", "413", "418")
REDIRECTS = tuple(
    f"{status}-{where}"
    for status in (301, 302, 303, 307, 308)
    for where in ("same-origin", "other-origin")
)
SOON = ("seconds", "date", "past-date", "garbage", "negative", "absurd", "absent")
BROKEN_HEADS = (
    *("long-line", "long-name", "long-status-line", "hundreds", "endless"),
    *("two-lengths", "the-same-length-twice", "negative-length", "length-and-chunked"),
)

MATRIX: dict[str, list[Cell]] = {
    "connecting": [
        *cells("test_a_refused_connection"),
        *cells("test_a_name_that_is_not_found"),
        *cells("test_a_connection_that_times_out", "connect_timeout", "attempt_timeout"),
        *cells("test_a_certificate_that_is_not_accepted", "untrusted", "wrong_host", "expired"),
        *cells("test_a_handshake_that_fails", "reset", "fin", "stall", "plain-http"),
        *cells("test_plain_http_to_a_tls_port"),
        *cells("test_while_it_connects", "connect", "handshake", "name", "certificate"),
    ],
    "before headers": [
        *(
            cell
            for transport in ("plain", "tls")
            for fault in ("fin", "rst", "stall", "drip", "endless-1xx", "garbage", "cut-head")
            for cell in (
                *cells("test_no_head_of_an_answer", f"{transport}-{fault}"),
                *cells("test_under_every_fault", f"{transport}-before-{fault}"),
            )
        ),
        *cells("test_unrequested_input_that_was_read_is_no_answer", verbs=READS),
        *cells("test_an_unrequested_answer_is_never_used", verbs=NONE),
        *cells("test_input_that_the_loop_has_not_read", "fin", "answer", verbs=READS),
        *cells("test_commands_do_not_share_connections", verbs=NONE),
    ],
    "headers": [
        *cells("test_a_broken_head", *BROKEN_HEADS),
        *cells("test_under_every_fault", *(f"plain-head-{name}" for name in BROKEN_HEADS)),
        *cells("test_a_body_that_cannot_be_decompressed", "unknown-coding"),
    ],
    "body": [
        *(
            cell
            for transport in ("plain", "tls")
            for fault in (
                "rst",
                "short",
                "cut-chunk",
                "endless",
                "endless-trailers",
                "drip",
                "stall",
            )
            for cell in (
                *cells("test_no_whole_body", f"{transport}-{fault}"),
                *cells("test_under_every_fault", f"{transport}-body-{fault}"),
            )
        ),
        *cells("test_bytes_after_the_length_are_not_the_next_answer"),
        *cells("test_a_decompression_bomb_is_stopped"),
        *cells("test_a_body_that_cannot_be_decompressed", "cut-gzip"),
    ],
    "content": [
        *cells("test_a_success_without_its_content", "empty", "whitespace", "html", "array"),
        *cells("test_a_success_without_its_content", "bad-utf-8", "nan", "infinite"),
        *cells("test_a_success_without_its_content", "long-number", "lone-surrogate", "deep"),
        *cells("test_an_oddity_that_is_accepted", "bom", "charset", "duplicate-keys"),
        *cells("test_each_field_missing_null_and_of_each_wrong_type", *CONTENT_FIELDS, verbs=NONE),
        *cells("test_an_answer_for_another_id", *ANOTHER_ID, verbs=NONE),
    ],
    "status": [
        *cells("test_a_204_has_no_content"),
        *cells("test_a_redirect_is_not_followed", *REDIRECTS),
        *cells(
            "test_a_client_error_is_final",
            *(f"{status}-{by}" for status in STATUSES for by in ("api", "proxy")),
        ),
        *cells(
            "test_a_passing_failure_is_tried_again",
            *(f"{status}-{by}" for status in (408, 500, 502, 503, 504) for by in ("api", "proxy")),
        ),
        *cells("test_a_refusal_by_the_api_is_tried_again", *SOON),
        *cells("test_a_refusal_by_a_proxy_leaves_a_command_unknown", *SOON),
        *cells("test_a_wait_beyond_the_deadline_is_not_begun", "huge-429", "far-date-429"),
        *cells("test_with_any_retry_after", "429"),
    ],
}


def holds(item: pytest.Item, cell: Cell, verb: str) -> bool:
    """Say whether a collected test covers a cell, with this verb."""
    test, part, _ = cell
    name, _, parameters = item.name.partition("[")
    within = f"-{parameters.rstrip(']')}-"
    return name == test and all(f"-{wanted}-" in within for wanted in (part, verb) if wanted)


@pytest.mark.parametrize("room", MATRIX)
def test_every_cell_has_its_test(room: str, request: pytest.FixtureRequest) -> None:
    """In a run of all these folders, each cell's test was collected, for each verb."""
    tests = Path(__file__).parents[1]
    files = {file for folder in FOLDERS for file in (tests / folder).glob("test_*.py")}
    items = [item for item in request.session.items if item.path in files]
    if {item.path for item in items} != files:
        pytest.skip("this needs a run of all files of these folders")
    missing = [
        (cell[:2], verb)
        for cell in MATRIX[room]
        for verb in cell[2]
        if not any(holds(item, cell, verb) for item in items)
    ]
    assert not missing


def test_no_cell_stands_twice() -> None:
    """No cell is in the table twice."""
    counts = Counter(cell for room in MATRIX.values() for cell in room)
    assert [cell for cell, count in counts.items() if count > 1] == []
