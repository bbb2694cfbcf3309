"""Settings and the key: which values are refused, and with which text."""

from __future__ import annotations

import pickle
import ssl
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iottly_async import Config, ConfigurationError, IottlySession, RetryPolicy
from iottly_async.auth import ApiKey

KEY = "ik_live_canary"


def test_the_defaults_are_the_documented_ones() -> None:
    """The defaults are those of the docstring."""
    config = Config()
    assert config.base_url == "https://api.cloud.iottly.com"
    assert (config.timeout, config.attempt_timeout, config.connect_timeout) == (60, 20, 10)
    assert (config.max_connections, config.page_size, config.first_page) == (100, 100, 1)
    assert (config.timestamp_format, config.settle) == ("iso", 5.0)
    assert config.max_response_bytes == 16 * 1024 * 1024
    assert not config.trust_env
    assert config.ssl is None
    assert not config.allow_plain_http


def test_seconds_may_be_a_timedelta() -> None:
    """A duration given as a timedelta becomes seconds."""
    assert Config(timeout=timedelta(minutes=2)).timeout == 120.0


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("timeout", 0, "timeout must be more than 0 seconds"),
        ("timeout", -1, "timeout must be more than 0 seconds"),
        ("timeout", float("nan"), "timeout must be a finite number"),
        ("timeout", "60", "timeout must be a finite number of seconds"),
        ("timeout", True, "timeout must be a finite number"),
        ("settle", -0.1, "settle must be 0 or more"),
        ("page_size", 0, "page_size must be 1 to 100, not 0"),
        ("page_size", 101, "page_size must be 1 to 100, not 101"),
        ("page_size", 50.0, "page_size must be a whole number"),
        ("first_page", 2, "first_page must be 0 to 1, not 2"),
        ("max_connections", 0, "max_connections must be 1 or more"),
        ("timestamp_format", "rfc", "timestamp_format must be one of iso, iso-z, epoch-ms"),
        ("retry", 3, "retry must be a RetryPolicy"),
        ("ssl", False, "ssl must be an ssl.SSLContext or None"),
        ("trust_env", 1, "trust_env must be True or False"),
        ("base_url", "api.cloud.iottly.com", "base_url must be https://host"),
        ("base_url", "ftp://api.cloud.iottly.com", "base_url must be https://host"),
        ("base_url", "https://", "base_url must be https://host"),
        ("base_url", "https://host:99999", "base_url must be https://host"),
        ("base_url", "https://host/v1.0", "must be the host alone"),
        ("base_url", "https://host?x=1", "must be the host alone"),
        ("base_url", "https://user:secret@host", "must not hold a user or password"),
        ("base_url", "https://ho st", "visible ASCII"),
        ("base_url", "https://host\r\nX: 1", "visible ASCII"),
        ("base_url", "http://api.cloud.iottly.com", "clear text"),
        ("base_url", "http://localhost.evil.example", "clear text"),
        ("base_url", "http://127.0.0.1.evil.example", "clear text"),
    ],
)
def test_an_invalid_setting_is_refused_by_name(setting: str, value: Any, words: str) -> None:
    """The error names the setting and says what is accepted."""
    with pytest.raises(ConfigurationError, match=words) as refused:
        Config(**{setting: value})
    assert isinstance(refused.value, ValueError)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8123", "http://localhost", "http://[::1]:80", "https://host:8443/"]
)
def test_https_and_loopback_are_accepted(url: str) -> None:
    """https is accepted to any host, http to loopback; a trailing slash is removed."""
    assert Config(base_url=url).base_url == url.rstrip("/")


def test_plain_http_needs_the_setting() -> None:
    """`allow_plain_http=True` accepts an http URL to any host."""
    assert Config(base_url="http://iot.example", allow_plain_http=True).base_url


def test_an_ssl_context_of_the_user_is_accepted() -> None:
    """A context that trusts another authority is accepted."""
    context = ssl.create_default_context()
    assert Config(ssl=context).ssl is context


@pytest.mark.parametrize(
    ("name", "value"),
    [("max_attempts", 0), ("initial_delay", -1), ("max_delay", 0), ("budget", -1)],
)
def test_a_retry_policy_is_checked_too(name: str, value: Any) -> None:
    """A retry policy is checked when it is built."""
    with pytest.raises(ConfigurationError, match=name):
        RetryPolicy(**{name: value})


def test_the_environment_names_host_and_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """IOTTLY_BASE_URL and IOTTLY_API_KEY are read when a session is made, not before."""
    monkeypatch.setenv("IOTTLY_BASE_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("IOTTLY_API_KEY", KEY)
    assert IottlySession().config.base_url == "http://127.0.0.1:1"


def test_a_missing_key_is_refused_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a key the error says where one may be given."""
    monkeypatch.delenv("IOTTLY_API_KEY", raising=False)
    with pytest.raises(ConfigurationError, match="IOTTLY_API_KEY"):
        IottlySession()


@given(st.text(min_size=1).filter(lambda key: not all("!" <= c <= "~" for c in key)))
def test_a_key_that_no_header_can_carry_is_refused_unshown(key: str) -> None:
    """A key with a space, a line end or a non-ASCII character is refused, and not shown."""
    with pytest.raises(ConfigurationError) as refused:
        ApiKey(key)
    assert "visible ASCII" in str(refused.value)
    assert len(key) < 4 or key not in str(refused.value)


def test_the_key_is_not_shown_and_not_pickled() -> None:
    """Neither key, headers nor session show the key or can be pickled."""
    key = ApiKey(KEY)
    session = IottlySession(KEY)
    shown = f"{key!r} {key!s} {key.headers('v1')!r} {key.headers('v1.0')!r} {session!r}"
    assert KEY not in shown
    for secret in (key, key.headers("v1"), session):
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(secret)


def test_each_generation_has_its_own_credential_header() -> None:
    """v1.0 sends `Authentication: bearer`, v1 sends `Authorization: Bearer`."""
    key = ApiKey(KEY)
    assert dict(key.headers("v1.0")) == {"Authentication": f"bearer {KEY}"}
    assert dict(key.headers("v1")) == {"Authorization": f"Bearer {KEY}"}
