"""What schemathesis loads before it runs: how to make a time without a zone."""

import schemathesis
from hypothesis import strategies as st

schemathesis.openapi.format("date-time-local", st.datetimes().map(lambda time: time.isoformat()))
