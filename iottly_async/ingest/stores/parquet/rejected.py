"""The rejected rows of a Parquet store, in files beside it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from ..appendfile import reading
from ..jsonl.reader import counted_lines
from ..rejected_lines import RejectedMark, marks_of
from .schema import REJECTED_FOLDER, names_in, rejected_path, state_folder


def rejected_marks(path: str, part: str, size: int) -> Iterator[RejectedMark]:
    """What the rejected lines of a part say.

    Args:
        path: of the store.
        part: the name of the part.
        size: bytes of the part's file that count. Files of earlier versions count whole.

    Raises:
        ConfigurationError: a file cannot be read, or was altered.
    """
    folder = os.path.join(state_folder(path), REJECTED_FOLDER)
    for name in names_in(folder):
        if re.fullmatch(rf"{re.escape(part)}-\d+\.jsonl", name):
            old = os.path.join(folder, name)
            with reading(old), open(old, "rb") as file:
                yield from marks_of(file)
    new = rejected_path(path, part)
    with reading(new):
        yield from marks_of(counted_lines(new, size))
