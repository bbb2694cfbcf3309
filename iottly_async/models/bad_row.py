"""A row of an answer that is no message."""

from __future__ import annotations

from attrs import field, frozen

from ..errors import DecodeError
from ._model import Model


@frozen(kw_only=True)
class BadRow(Model):
    """A row that cannot be a message: its `timestamp` or `from` cannot be read (D8).

    Attributes:
        index: its position among the rows of the answer, from 0.
        path: where the fault is in the answer, such as "$.messages[3].timestamp".
        raw: the row as the bytes that arrived.
        reason: what was expected there. It never contains the row.
    """

    index: int
    path: str
    raw: bytes = field(repr=False)
    reason: str

    @property
    def raw_text(self) -> str:
        """The row as text; bytes that are not UTF-8 become replacement characters."""
        return self.raw.decode("utf-8", "replace")

    @property
    def row_path(self) -> str:
        """Where the fault is in the row, such as "$.timestamp"; "$" for the whole row."""
        return f"${self.path.removeprefix(f'$.messages[{self.index}]')}"

    def _msgspec_names(self) -> tuple[str, ...]:
        return ("index", "path", "raw_text", "reason")

    def error(self) -> DecodeError:
        """Make the error for a caller that accepts no bad row.

        Returns:
            An error with the reason and the path. It is not raised here.
        """
        return DecodeError(self.reason, path=self.path)
