"""Signed cursors: what was signed is read, and any other text is an error that says so."""

from __future__ import annotations

import re
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iottly_async import ConfigurationError, Cursor, CursorMismatchError

SECRET: Final = "a-secret-of-this-test"
OTHER: Final = b"another-secret-of-this-test"
CURSOR: Final = Cursor(
    project_id="p1",
    device_id="d1",
    type="all",
    order="asc",
    start=None,
    end=None,
    remaining=((5, 9), (12, 90)),
    pinned_end=90,
    count=7,
)
TOKEN: Final = CURSOR.to_token(SECRET)


def test_a_token_is_read_with_its_secret() -> None:
    """It can stand in a URL as it is. A text and its bytes are the same secret."""
    assert Cursor.from_token(TOKEN, SECRET) == CURSOR
    assert Cursor.from_token(CURSOR.to_token(SECRET.encode()), SECRET) == CURSOR
    assert re.fullmatch(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{43}", TOKEN)


def test_a_secret_is_replaced() -> None:
    """The first one signs; while the old one is named too, its tokens are read."""
    new = CURSOR.to_token([OTHER, SECRET])
    for token in (TOKEN, new):
        assert Cursor.from_token(token, [OTHER, SECRET]) == CURSOR
    assert Cursor.from_token(new, OTHER) == CURSOR
    with pytest.raises(CursorMismatchError, match="another secret, or altered"):
        Cursor.from_token(TOKEN, OTHER)


@given(st.integers(0, len(TOKEN) - 1), st.characters(codec="utf-8"))
def test_no_altered_token_is_read(place: int, character: str) -> None:
    """Each bit counts, also those that base64 would ignore."""
    altered = TOKEN[:place] + character + TOKEN[place + 1 :]
    if altered != TOKEN:
        with pytest.raises(CursorMismatchError):
            Cursor.from_token(altered, SECRET)


@given(st.one_of(st.text(), st.text(st.sampled_from("abAB01-_.=")), st.just(CURSOR.to_json())))
def test_any_other_text_is_refused(text: str) -> None:
    """The error is a `ValueError`, as of any text that cannot be read."""
    with pytest.raises(ValueError, match="token"):
        Cursor.from_token(text, SECRET)


@given(st.one_of(st.text(), st.binary(), st.text(st.sampled_from('{}[]":,0123 version'))))
def test_any_other_json_is_refused(text: str | bytes) -> None:
    """`from_json` refuses it in the same way."""
    with pytest.raises(ValueError, match="cursor"):
        Cursor.from_json(text)


@pytest.mark.parametrize("secret", ["", b"", "x" * 15, [], [SECRET, "short"], None, 5, [5]])
def test_a_secret_that_is_none_is_refused(secret: Any) -> None:
    """One of few bytes can be guessed. The error does not show it."""
    for use in (CURSOR.to_token, lambda secret: Cursor.from_token(TOKEN, secret)):
        with pytest.raises(ConfigurationError, match="secret must") as refused:
            use(secret)
        assert "short" not in str(refused.value)
