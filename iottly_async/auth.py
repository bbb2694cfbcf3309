"""The API key: checks it, and keeps it out of reprs, logs and tracebacks."""

from __future__ import annotations

import json
from hashlib import blake2b
from typing import Any, Final, Literal, NoReturn, Self, final
from urllib.parse import quote

from .errors import SetupError

Generation = Literal["v1.0", "v1"]

_REDACTED: Final = "<redacted>"


class RedactedStr(str):
    """A text whose repr is ``<redacted>``; on the wire it is itself.

    Reprs are what tracebacks with locals, debuggers and log records show. A copy is the text
    itself, and so is redacted too. Pickling is refused: it would store the text in the clear.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return _REDACTED

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a credential is not pickled; pass a reference to it")


@final
class ApiKey:
    """A project's API key, which no repr shows.

    It can be copied, and a copy is as redacted. It cannot be pickled.

    Args:
        key: visible ASCII, as the dashboard shows it.

    Attributes:
        fingerprint: a one-way digest, equal for equal keys. Sessions with the same
            fingerprint share a limiter.

    Raises:
        SetupError: the key is empty, not a str, or has a character that cannot stand
            in a header. The error's text never holds the key.
    """

    __slots__ = ("_forms", "_headers", "_text", "fingerprint")

    fingerprint: str

    def __init__(self, key: str) -> None:
        try:
            self._take(key)
        finally:
            del key  # a traceback with locals must not show it

    def _take(self, key: str) -> None:
        fault = _fault(key)
        if fault is not None:
            del key
            raise SetupError(fault)
        self._text = RedactedStr(key)
        forms = dict.fromkeys((key, quote(key, safe=""), json.dumps(key)[1:-1]))
        self._forms = tuple(map(RedactedStr, forms))
        self.fingerprint = blake2b(key.encode(), digest_size=16, person=b"iottly-key").hexdigest()
        self._headers: dict[Generation, dict[str, str]] = {
            # The name is Authentication and the scheme lower-case, as documented for v1.0.
            "v1.0": {"Authentication": RedactedStr(f"bearer {key}")},
            "v1": {"Authorization": RedactedStr(f"Bearer {key}")},
        }

    def headers(self, generation: Generation) -> dict[str, str]:
        """The credential header of an API generation; the value's repr is redacted."""
        return self._headers[generation]

    @property
    def text(self) -> RedactedStr:
        """The key itself, for a credential that is not one of the headers."""
        return self._text

    def hidden_in(self, text: str) -> str:
        """Replace the key, wherever it stands in `text`, by ``<redacted>``.

        It is also found as it stands in a URL or in a JSON text.
        """
        for form in self._forms:
            text = text.replace(form, _REDACTED)
        return text

    def __repr__(self) -> str:
        return f"ApiKey({_REDACTED})"

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("an API key is not pickled; pass a reference to it")


def _fault(key: object) -> str | None:
    """Why a key is refused, without the key itself; None if it is accepted."""
    if not isinstance(key, str):
        return f"api_key must be a text, not {type(key).__name__}"
    if not key:
        return "api_key is missing; pass api_key=... or set IOTTLY_API_KEY in the environment"
    if not all("!" <= character <= "~" for character in key):
        return (
            "api_key must be visible ASCII without spaces; "
            "it was given with a space, a line end or another character"
        )
    return None
