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


def test_a_file_without_a_host_uses_the_environment(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """IOTTLY_BASE_URL names the host only if the file names none."""
    monkeypatch.setenv("IOTTLY_BASE_URL", "http://127.0.0.1:1")
    path.write_text("page_size = 50")
    assert Config.from_file(path) == Config(base_url="http://127.0.0.1:1", page_size=50)
    path.write_text('base_url = "https://iot.example"')
    assert Config.from_file(path).base_url == "https://iot.example"


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
