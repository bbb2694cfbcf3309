"""Messages as Arrow columns: the schema, and what each column holds."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone

import pyarrow as pa

from iottly_async.arrow import SCHEMA, record_batch
from iottly_async.models import Message, MessageType

AT = datetime(2026, 3, 1, 12, 0, 0, 968000, tzinfo=UTC)


def message(**fields: object) -> Message:
    """A message of device "d1"."""
    given: dict[str, object] = {"device_id": "d1", "timestamp": AT, "payload_json": b'{"a": 1}'}
    return Message(**{**given, **fields})  # type: ignore[arg-type]


def test_a_message_is_one_row_by_the_documented_schema() -> None:
    """Ids and texts are text, times have milliseconds and UTC, payload and extra are JSON."""
    full = message(
        project_id="p1",
        device_timestamp=AT - timedelta(seconds=1),
        type=MessageType.USERDEFINED,
        channel="telemetry",
        extra={"rssi": -71},
    )
    batch = record_batch([full, message()])
    assert batch.schema.equals(SCHEMA, check_metadata=True)
    assert batch.schema.field("timestamp").type == pa.timestamp("ms", tz="UTC")
    assert batch.to_pylist() == [
        {
            "project_id": "p1",
            "device_id": "d1",
            "timestamp": AT,
            "device_timestamp": AT - timedelta(seconds=1),
            "type": "userdefined",
            "channel": "telemetry",
            "payload": '{"a": 1}',
            "extra": '{"rssi":-71}',
            "key": full.key,
        },
        {
            "project_id": None,
            "device_id": "d1",
            "timestamp": AT,
            "device_timestamp": None,
            "type": None,
            "channel": None,
            "payload": '{"a": 1}',
            "extra": None,
            "key": message().key,
        },
    ]


def test_times_are_in_utc_and_rounded_down_to_milliseconds() -> None:
    """A time of another zone, or finer than a millisecond, is stored as `Message.key` takes it."""
    zone = timezone(timedelta(hours=2))
    first, old = datetime.min.replace(tzinfo=UTC), datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)
    finer = timedelta(microseconds=7)
    times = [AT.astimezone(zone), AT + finer, old, old + finer, first, first + finer]
    batch = record_batch([message(timestamp=time, device_timestamp=time) for time in times])
    for name in ("timestamp", "device_timestamp"):
        assert batch.column(name).to_pylist() == [AT, AT, old, old, first, first]


def test_bytes_that_are_not_utf8_become_replacement_characters() -> None:
    """One bad payload does not make its batch fail, and readers of the text do not crash."""
    bad = message(payload_json=b'{"a": "\xff"}')
    batch = record_batch([message(), bad])
    batch.validate(full=True)
    assert batch.column("payload").to_pylist() == ['{"a": 1}', '{"a": "�"}']


def test_no_messages_are_an_empty_batch() -> None:
    """An empty batch has the same schema, so that tables can be joined."""
    batch = record_batch([])
    assert batch.num_rows == 0
    assert batch.schema.equals(SCHEMA)


def test_columns_do_not_load_the_functions_of_pyarrow() -> None:
    """A process that only makes columns starts without `pyarrow.compute`, which takes 50 ms."""
    code = (
        "import sys; from datetime import UTC, datetime; from iottly_async.models import Message; "
        "from iottly_async.arrow import record_batch; "
        "row = Message(device_id='d', timestamp=datetime.now(UTC), payload_json=b'1'); "
        "assert record_batch([row]).num_rows == 1; print('pyarrow.compute' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
