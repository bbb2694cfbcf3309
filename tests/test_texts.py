"""Addresses show no credential, and texts show no control character."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iottly_async.texts import escaped, without_secrets

SHOWN = {
    "postgresql://user:pw@db.example:5432/telemetry?sslmode=require": (
        "postgresql://db.example:5432/telemetry"
    ),
    "postgresql://user@/telemetry?host=/run/pg&password=pw": "postgresql:///telemetry",
    "postgres://user:p%40w@[::1]:5432/x": "postgres://[::1]:5432/x",
    "postgresql://u:pw@one:1,two:2/x": "postgresql://one:1,two:2/x",
    "redis://:pw@cache:6379/0": "redis://cache:6379/0",
    "rediss://cache:6379/0?password=p@w": "rediss://…",
    "http://user:pw@proxy:3128": "http://proxy:3128",
    "user:pw@proxy:3128": "proxy:3128",
    "//user:pw@proxy:3128": "//proxy:3128",
    "socks5://user:pw@proxy": "socks5://proxy",
    "https://api.cloud.iottly.com": "https://api.cloud.iottly.com",
    "https://host/path?token=pw": "https://host/path",
    "postgresql:user:pw@host/db": "postgresql:…",
    "host=db user=me password=pw dbname=x": "host=db user=me password=… dbname=x",
    "host=db password = 'p w'": "host=db password = …",
    "telemetry.duckdb": "telemetry.duckdb",
    "/srv/me@example.org/a b.jsonl": "/srv/me@example.org/a b.jsonl",
    "jsonl:///srv/me@example.org": "jsonl:///srv/me@example.org",
    "s3://key:pw@bucket/x.parquet": "s3://bucket/x.parquet",
}


@pytest.mark.parametrize("address", SHOWN)
def test_an_address_is_shown_without_credentials(address: str) -> None:
    """Host, port and path are shown, and a path is shown as it is."""
    assert without_secrets(address) == SHOWN[address]


FORMS = [
    "postgresql://user:{}@host:5432/db",
    "postgresql://user:{}@host/db?sslmode=require#x",
    "postgresql://user@host/db?password={}",
    "postgresql:///db?user=me&password={}&host=/run",
    "redis://:{}@host/0",
    "user:{}@host:3128",
    "//user:{}@host",
    "http://{}@host",
    "postgres:user:{}@host/db",
]


@pytest.mark.parametrize("form", FORMS)
@given(between=st.text(alphabet="/?#@:&=%[]\\ ,.7a'\"", max_size=6))
def test_no_password_is_shown_whatever_it_holds(form: str, between: str) -> None:
    """Also one with the characters that end a part of a URL, written as they are."""
    shown = without_secrets(form.format(f"Canary{between}yranaC"))
    assert "Canary" not in shown
    assert "yranaC" not in shown


@given(text=st.text())
def test_an_escaped_text_cannot_steer_a_terminal(text: str) -> None:
    """No control, no bidirectional control, no line separator and no surrogate is left."""
    shown = escaped(text)
    for character in shown:
        assert unicodedata.category(character) not in ("Cc", "Cs", "Zl", "Zp")
        assert unicodedata.bidirectional(character) not in (
            *("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI", "B"),
        )
    assert escaped(shown) == shown
    shown.encode()


@given(text=st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_escaped_json_is_the_same_json(text: str) -> None:
    """A JSON text can be escaped as a whole."""
    assert json.loads(escaped(json.dumps(text, ensure_ascii=False))) == text


def test_ordinary_text_is_not_escaped() -> None:
    """Letters of any script, emoji with joiners and no-break spaces are shown as they are."""
    for text in ("pump 7", "Zürich", "مضخة", "水泵", "👩‍🔧", "3\xa0°C", r"C:\x1b"):
        assert escaped(text) == text
    assert escaped("\x1b]0;x\x07\n\x9b\u202e\ud800") == (
        r"\u001b]0;x\u0007\u000a\u009b\u202e\ud800"
    )
