"""The settings: their bounds, and the same settings as keyword arguments."""

import attrs
import pytest

from iottly_async.emulator import Emulator, EmulatorOptions, EmulatorSettings


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org", "", "127.0.0.1.x"])
def test_only_loopback(host: str) -> None:
    """An address that is not a loopback one is refused, and the error says what is accepted."""
    with pytest.raises(ValueError, match=r"loopback addresses only \(127\.0\.0\.1"):
        Emulator(host=host)


def test_options_are_the_settings() -> None:
    """The keyword arguments are the fields of the settings, with the same types."""
    fields = {field.name: field.type for field in attrs.fields(EmulatorSettings)}
    assert EmulatorOptions.__annotations__ == fields


@pytest.mark.parametrize(
    "wrong",
    [
        {"devices": -1},
        {"messages": 5, "devices": 0},
        {"days": 0},
        {"first_page": 2},
        {"rate_algorithm": "leaky"},
        {"latency": -1},
        {"latency": (2, 1)},
        {"api_keys": ()},
        {"api_keys": "key"},
        {"port": 70_000},
    ],
)
def test_a_setting_that_is_refused(wrong: EmulatorOptions) -> None:
    """A setting that is out of bounds is a `ValueError`."""
    with pytest.raises(ValueError):
        EmulatorSettings(**wrong)


def test_an_unknown_setting() -> None:
    """An unknown setting is a `TypeError`."""
    with pytest.raises(TypeError):
        Emulator(colour="red")  # type: ignore[call-arg]


@pytest.mark.parametrize("limit", [0, -5, "gold"])
def test_a_limit_that_is_none(limit: int) -> None:
    """A limit that is neither a positive number nor a tier is refused."""
    with pytest.raises(ValueError, match="rate_limit"):
        EmulatorSettings(rate_limit=limit)
