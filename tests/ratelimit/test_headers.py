"""Limit headers: every spelling that is read, and what is ignored."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iottly_async.ratelimit.headers import Observation, ObservationReader, read_observation
from iottly_async.times import retry_after


def x(limit: str = "600", remaining: str = "597", reset: str = "1746537600") -> dict[str, str]:
    """The three headers of the service."""
    return {
        "x-ratelimit-limit": limit,
        "x-ratelimit-remaining": remaining,
        "x-ratelimit-reset": reset,
    }


@pytest.mark.parametrize(
    ("headers", "observation"),
    [
        pytest.param(x(), Observation(600, 597, 1746537600.0), id="the vendor's example"),
        pytest.param(x(reset="1746537600.5"), Observation(600, 597, 1746537600.5), id="fraction"),
        pytest.param(
            x(reset="1746537600000"), Observation(600, 597, 1746537600.0), id="milliseconds"
        ),
        pytest.param(x(reset="42"), Observation(600, 597, 42.0, relative=True), id="delta seconds"),
        pytest.param(x(remaining="0"), Observation(600, 0, 1746537600.0), id="none left"),
        pytest.param(
            {"ratelimit": '"default";r=50;t=30', "ratelimit-policy": '"default";q=100;w=60'},
            Observation(100, 50, 30.0, relative=True, window=60.0),
            id="IETF",
        ),
        pytest.param(
            {"ratelimit": "default;r=50;t=30"},
            Observation(None, 50, 30.0, relative=True),
            id="IETF, token, no policy",
        ),
        pytest.param(
            {
                "ratelimit": '"minute";r=50;t=30, "day";r=7;t=9000',
                "ratelimit-policy": '"minute";q=100;w=60, "day";q=5000;w=86400;pk=:YQ==:',
            },
            Observation(5000, 7, 9000.0, relative=True, window=86400.0),
            id="IETF, the tightest of two",
        ),
        pytest.param(
            {"ratelimit": "limit=100, remaining=50, reset=5"},
            Observation(100, 50, 5.0, relative=True),
            id="IETF, single line",
        ),
        pytest.param(
            {
                "ratelimit-limit": "100, 100;w=60",
                "ratelimit-remaining": "50",
                "ratelimit-reset": "7",
            },
            Observation(100, 50, 7.0, relative=True),
            id="IETF, three fields",
        ),
        pytest.param(
            x() | {"ratelimit": '"default";r=1;t=1'},
            Observation(600, 597, 1746537600.0),
            id="the service's own come first",
        ),
    ],
)
def test_a_observation_is_read(headers: Mapping[str, str], observation: Observation) -> None:
    """Each known spelling is read into an observation."""
    assert read_observation(headers) == observation


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"date": "Wed, 01 Jan 2025 00:00:00 GMT"}, id="other fields"),
        pytest.param(x(limit="0"), id="limit 0"),
        pytest.param(x(limit="-5"), id="limit below 0"),
        pytest.param(x(limit="many"), id="limit no number"),
        pytest.param(x(remaining="601"), id="more left than the limit"),
        pytest.param(x(remaining="-1"), id="less than none left"),
        pytest.param(x(remaining="٣"), id="another script's digits"),
        pytest.param(x(remaining="1" * 5000), id="5,000 digits"),
        pytest.param(x(reset="soon"), id="reset no number"),
        pytest.param(x(reset="nan"), id="reset NaN"),
        pytest.param(x(reset="1e400"), id="reset infinite"),
        pytest.param({"x-ratelimit-remaining": "5"}, id="remaining alone"),
        pytest.param({"x-ratelimit-limit": "5", "x-ratelimit-reset": "9"}, id="no remaining"),
        pytest.param({"ratelimit": '"default";r=50'}, id="IETF without a time"),
        pytest.param({"ratelimit": ";;;=,,"}, id="IETF garbage"),
        pytest.param({"ratelimit-remaining": "5"}, id="three fields, one there"),
    ],
)
def test_nonsense_is_no_observation(headers: Mapping[str, str]) -> None:
    """Headers that do not parse or contradict themselves are ignored."""
    assert read_observation(headers) is None


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "x-ratelimit-limit",
                "x-ratelimit-remaining",
                "x-ratelimit-reset",
                "ratelimit",
                "ratelimit-policy",
                "ratelimit-limit",
                "ratelimit-remaining",
                "ratelimit-reset",
                "retry-after",
                "date",
            ]
        ),
        st.text() | st.integers().map(str) | st.floats().map(str),
    )
)
def test_no_text_raises(headers: dict[str, str]) -> None:
    """No text of a server makes reading fail."""
    observation = read_observation(headers)
    assert observation is None or observation.remaining >= 0
    wait = retry_after(headers, 0.0)
    assert wait is None or wait >= 0


@pytest.mark.parametrize(
    ("answers", "left"),
    [
        pytest.param([(200, 59), (200, 58)], [59, 58], id="left after the request"),
        pytest.param([(200, 60), (200, 59), (200, 1)], [59, 58, 0], id="left before it"),
        pytest.param([(200, 60), (429, 0)], [59, 0], id="a refusal takes nothing"),
        pytest.param([(401, 60), (200, 59)], [60, 59], id="an error that is not counted"),
        pytest.param([(200, 60), (200, 0), (200, 59)], [59, 0, 59], id="none left after all"),
    ],
)
def test_remaining_may_leave_out_its_own_request(
    answers: list[tuple[int, int]], left: list[int]
) -> None:
    """If the whole limit is left after a request, Remaining does not count that request."""
    reader = ObservationReader()
    observations = [reader.read(status, x("60", str(remaining))) for status, remaining in answers]
    assert [each.remaining for each in observations if each is not None] == left
