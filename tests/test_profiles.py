"""`Config.from_file`: what a profile may hold, and with which text anything else is refused."""

from __future__ import annotations

from math import inf
from pathlib import Path

import pytest

from iottly_async import Config, ConfigurationError, RetryPolicy

WHOLE = """
base_url = "https://iot.example"
project = "59c19cacecc01400075f3bc9"
timeout = 30
patience = inf
first_page = 0
timestamp_format = "epoch-ms"
page_size = 50
settle = 7.5
trust_env = true
retry.max_attempts = 2

[plant]
first_page = 1
retry.budget = 9
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A path for a profile."""
    return tmp_path / "config.toml"


def test_settings_are_read_by_their_names(path: Path) -> None:
    """Numbers, texts, flags, an endless patience and the retry policy are read."""
    path.write_text(WHOLE)
    assert Config.from_file(path) == Config(
        base_url="https://iot.example",
        timeout=30,
        patience=inf,
        first_page=0,
        timestamp_format="epoch-ms",
        page_size=50,
        settle=7.5,
        trust_env=True,
        retry=RetryPolicy(max_attempts=2),
    )


def test_a_named_profile_comes_before_the_top_of_the_file(path: Path) -> None:
    """A profile's settings replace those at the top, one by one, in `retry` too."""
    path.write_text(WHOLE)
    config = Config.from_file(path, profile="plant")
    assert (config.first_page, config.page_size) == (1, 50)
    assert config.retry == RetryPolicy(max_attempts=2, budget=9)


def test_the_environment_comes_before_a_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable replaces one setting of the file, also one of `retry`, and no other."""
    path.write_text(WHOLE)
    monkeypatch.setenv("IOTTLY_BASE_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("IOTTLY_RETRY_BUDGET", "7")
    monkeypatch.setenv("IOTTLY_PROXY", "none")
    config = Config.from_file(path)
    assert (config.base_url, config.trust_env) == ("http://127.0.0.1:1", False)
    assert config.retry == RetryPolicy(max_attempts=2, budget=7)
    assert config.timeout == 30


def test_the_file_may_allow_plain_http_for_the_host_of_the_environment(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settings are checked as they are used: together."""
    monkeypatch.setenv("IOTTLY_BASE_URL", "http://iot.example")
    path.write_text("timeout = 30")
    with pytest.raises(ConfigurationError, match="IOTTLY_ALLOW_PLAIN_HTTP=true"):
        Config.from_file(path)
    path.write_text("allow_plain_http = true")
    assert Config.from_file(path).base_url == "http://iot.example"


@pytest.mark.parametrize(("word", "uses"), [("env", True), ("none", False)])
def test_the_proxy_is_a_word(path: Path, word: str, uses: bool) -> None:
    """`proxy` is `trust_env`, and that of a named profile replaces that at the top."""
    path.write_text(f'trust_env = {str(not uses).lower()}\n[plant]\nproxy = "{word}"')
    assert Config.from_file(path).trust_env is not uses
    assert Config.from_file(path, profile="plant").trust_env is uses


@pytest.mark.parametrize(
    "text",
    [
        'api_key = "abcdefgh"',
        'apikey = "abcdefgh"',
        'API-Key = "abcdefgh"',
        'password = "abcdefgh"',
        'token = "abcdefgh"',
        '[plant]\nkey = "abcdefgh"',
        '[other.deep]\nclient_secret = "abcdefgh"',
        'project = "ik_live_abcdefgh"',
        'base_url = "https://user:abcdefgh@iot.example"',
        'base_url = "ik_live_abcdefgh"',
        'key_command = "echo ik_live_abcdefgh"',
        'key_command = "vault --token=ik_live_abcdefgh"',
        'page_size = ["ik_live_abcdefgh"]',
        'timestamp_format = " ik_live_abcdefgh"',
        'key_commands = "abcdefgh"',
        '[plant]\nretry.key = "abcdefgh"',
    ],
)
def test_a_key_is_refused_and_not_shown(path: Path, text: str) -> None:
    """A key or password is refused wherever it stands, and the error does not repeat it."""
    path.write_text(text)
    with pytest.raises(ConfigurationError, match="password") as refused:
        Config.from_file(path)
    assert "abcdefgh" not in str(refused.value)
    assert refused.value.__cause__ is None
    assert refused.value.__context__ is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("first_pag = 0", "there is no setting 'first_pag'; did you mean 'first_page'"),
        ("retry.max_atempts = 2", "'max_atempts'; did you mean 'max_attempts'"),
        ("wheels = 4", "no setting 'wheels'; the settings are base_url, timeout"),
        ("retry = 2", "retry must be a table, such as retry.max_attempts"),
        ("first_page = 2", "first_page must be 0 to 1, not 2"),
        ('first_page = "0"', "first_page must be a whole number"),
        ("page_size = [50]", "page_size must be a whole number"),
        ("timeout = 2026-01-01", "timeout must be a finite number"),
        ("retry.max_attempts = 0", "max_attempts must be 1 or more"),
        ('base_url = "http://iot.example"', "clear text"),
        ("project = 5", "project must be the project's id, a text"),
        ('ssl = "system"', "ssl is an ssl.SSLContext, which no file can hold"),
        ('proxy = "http://host:3128"', 'proxy must be "env" or "none"'),
        ("proxy = true", 'proxy must be "env" or "none"'),
        ('proxy = "env"\ntrust_env = true', "proxy and trust_env are the same; remove one"),
        ('key_command = ""', "key_command must be a text with a program"),
        ("key_command = 'pass \"show'", "key_command must be a text with a program"),
        ('key_command = ["pass", "show"]', "key_command must be a text with a program"),
        ("page_size = ", "it is not TOML: Invalid value"),
    ],
)
def test_what_is_wrong_is_named_with_the_file(path: Path, text: str, words: str) -> None:
    """The error names the file, the setting and what is accepted."""
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=r"config\.toml") as refused:
        Config.from_file(path)
    assert words in str(refused.value)


def test_a_file_that_cannot_be_read_is_named(path: Path) -> None:
    """A missing file, a folder and bytes that are no text are told apart."""
    with pytest.raises(ConfigurationError, match=r"config\.toml cannot be used .* No such file"):
        Config.from_file(path)
    with pytest.raises(ConfigurationError, match="Is a directory"):
        Config.from_file(path.parent)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="it is not UTF-8"):
        Config.from_file(path)


@pytest.mark.parametrize("name", ["plnt", "retry", "page_size"])
def test_a_profile_that_is_missing_is_named_with_those_there_are(path: Path, name: str) -> None:
    """A setting's name is no profile, and the error lists the profiles."""
    path.write_text(WHOLE)
    with pytest.raises(ConfigurationError, match="its profiles are plant"):
        Config.from_file(path, profile=name)
    path.write_text("page_size = 50")
    with pytest.raises(ConfigurationError, match="it has no profile"):
        Config.from_file(path, profile=name)
