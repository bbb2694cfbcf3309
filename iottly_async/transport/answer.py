"""What came back: an answer's headers and its body, which is read under a bound."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import StreamReader

from ..errors import ProtocolError, ResponseTooLargeError
from ..wire import Answer


async def read_answer(
    status: int, headers: Mapping[str, str], content: StreamReader, most: int
) -> Answer:
    """The answer, its body decoded; a bomb is stopped where it passes `most` bytes.

    Raises:
        ResponseTooLargeError: the body is larger.
        ProtocolError: the answer wants another protocol.
        aiohttp.ClientError: the body ended early or is damaged.
    """
    if status < 200:
        raise ProtocolError(f"the service wants another protocol ({status})", sent="maybe")
    # A page is there as a whole, as a rule, by the time that its head is looked at.
    body = content.read_nowait() if content.is_eof() else await content.readany()
    if not content.at_eof() or len(body) > most:
        body = await _rest(status, [body], content, most)
    return Answer(status, headers, body)


async def _rest(status: int, chunks: list[bytes], content: StreamReader, most: int) -> bytes:
    size = len(chunks[0])
    while size <= most:
        chunk = await content.readany()
        if not chunk:
            return b"".join(chunks)
        size += len(chunk)
        chunks.append(chunk)
    raise ResponseTooLargeError(
        f"the answer is larger than max_response_bytes, {most} bytes", status=status, sent="maybe"
    )
