"""Settings from environment variables: what each accepts, and how a wrong one is refused."""

from __future__ import annotations

from math import inf

import pytest

from iottly_async import Config, ConfigurationError, RetryPolicy
from iottly_async.config import FORMS
from iottly_async.variables import variable_of

EVERY = {
    "IOTTLY_BASE_URL": "http://iot.example",
    "IOTTLY_TIMEOUT": "30",
    "IOTTLY_ATTEMPT_TIMEOUT": "7.5",
    "IOTTLY_PATIENCE": "inf",
    "IOTTLY_CONNECT_TIMEOUT": "3",
    "IOTTLY_MAX_CONNECTIONS": "9",
    "IOTTLY_PAGE_SIZE": "50",
    "IOTTLY_FIRST_PAGE": "0",
    "IOTTLY_TIMESTAMP_FORMAT": "epoch-ms",
    "IOTTLY_VERIFY_TIES": "false",
    "IOTTLY_SETTLE": "0",
    "IOTTLY_MAX_RESPONSE_BYTES": "4096",
    "IOTTLY_PROXY": "env",
    "IOTTLY_ALLOW_PLAIN_HTTP": "true",
    "IOTTLY_RETRY_MAX_ATTEMPTS": "2",
    "IOTTLY_RETRY_INITIAL_DELAY": "0",
    "IOTTLY_RETRY_MAX_DELAY": "5",
    "IOTTLY_RETRY_MAX_REFUSALS": "0",
    "IOTTLY_RETRY_BUDGET": "8",
}


def test_every_setting_has_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator sets whatever a program can set, but `ssl`."""
    assert set(EVERY) == {variable_of(setting) for setting in FORMS}
    for variable, text in EVERY.items():
        monkeypatch.setenv(variable, text)
    assert Config.from_env() == Config(
        base_url="http://iot.example",
        timeout=30,
        attempt_timeout=7.5,
        patience=inf,
        connect_timeout=3,
        max_connections=9,
        page_size=50,
        first_page=0,
        timestamp_format="epoch-ms",
        verify_ties=False,
        settle=0,
        max_response_bytes=4096,
        trust_env=True,
        allow_plain_http=True,
        retry=RetryPolicy(max_attempts=2, initial_delay=0, max_delay=5, max_refusals=0, budget=8),
    )


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compose files make empty variables of missing ones."""
    for variable in EVERY:
        monkeypatch.setenv(variable, "")
    assert Config.from_env() == Config()


@pytest.mark.parametrize(
    ("variable", "text", "words"),
    [
        ("IOTTLY_TIMEOUT", "soon", "must be a number of seconds, more than 0, not 'soon'"),
        ("IOTTLY_TIMEOUT", "30s", "must be a number of seconds, more than 0, not '30s'"),
        ("IOTTLY_TIMEOUT", "-1", "must be a number of seconds, more than 0, not '-1'"),
        ("IOTTLY_TIMEOUT", "1_0", "must be a number of seconds"),
        ("IOTTLY_TIMEOUT", "٣", "must be a number of seconds"),
        ("IOTTLY_TIMEOUT", "9" * 5000, "must be a number of seconds"),
        ("IOTTLY_TIMEOUT", "0", "must be more than 0 seconds, not 0.0"),
        ("IOTTLY_TIMEOUT", "inf", "must be a finite number of seconds"),
        ("IOTTLY_PATIENCE", "nan", "must be a number of seconds, 0 or more, or inf, not 'nan'"),
        ("IOTTLY_PAGE_SIZE", "101", "must be 1 to 100, not 101"),
        ("IOTTLY_PAGE_SIZE", "1.5", "must be a whole number, 1 to 100, not '1.5'"),
        ("IOTTLY_PAGE_SIZE", "9" * 5000, "must be a whole number, 1 to 100"),
        ("IOTTLY_VERIFY_TIES", "yes", "must be true or false, not 'yes'"),
        ("IOTTLY_PROXY", "http://user:hidden@host", "must be env or none, not 'http://host'"),
        ("IOTTLY_TIMESTAMP_FORMAT", "rfc", "must be one of iso, iso-z, epoch-ms, epoch-s"),
        ("IOTTLY_RETRY_BUDGET", "many", "must be a whole number, 0 or more, not 'many'"),
        ("IOTTLY_BASE_URL", "iot.example", "must be https://host[:port], not 'iot.example'"),
    ],
)
def test_what_is_refused_is_named_with_its_form(
    monkeypatch: pytest.MonkeyPatch, variable: str, text: str, words: str
) -> None:
    """The error begins with the variable and says which values it takes."""
    monkeypatch.setenv(variable, text)
    with pytest.raises(ConfigurationError) as refused:
        Config.from_env()
    assert str(refused.value).startswith(f"{variable} {words}")
    assert "hidden" not in str(refused.value)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize("variable", sorted(EVERY))
def test_a_key_in_a_wrong_variable_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """A key that was put into the variable beside is not repeated in the error."""
    monkeypatch.setenv(variable, "ik_live_abcdefgh")
    with pytest.raises(ConfigurationError, match=variable) as refused:
        Config.from_env()
    assert "abcdefgh" not in str(refused.value)
