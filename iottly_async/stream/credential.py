"""Where a stream's protocol puts the API key: a header, a query parameter, or a frame."""

from __future__ import annotations

import re
from typing import Final

from attrs import Attribute, field, frozen

from ..errors import ConfigurationError

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NAME: Final = re.compile(r"[0-9A-Za-z._~-]+")


def _check_header(_: object, attribute: Attribute[str], value: object) -> None:
    if not isinstance(value, str) or not _TOKEN.fullmatch(value):
        raise ConfigurationError(f"{attribute.name} must be the name of a header, not {value!r}")


def _check_prefix(_: object, attribute: Attribute[str], value: object) -> None:
    if not isinstance(value, str) or not (value.isascii() and value.isprintable()):
        raise ConfigurationError(f"{attribute.name} must be printable ASCII, not {value!r}")


def _check_parameter(_: object, attribute: Attribute[str], value: object) -> None:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ConfigurationError(
            f"{attribute.name} must be letters, digits and any of . _ ~ -, not {value!r}"
        )


@frozen
class HeaderKey:
    """The key is sent in a header of the request that opens the connection.

    Example:
        ```python
        HeaderKey()                             # Authorization: Bearer KEY (v1)
        HeaderKey("Authentication", "bearer ")  # as v1.0 has it
        ```

    Attributes:
        name: the header's name. Default ``Authorization``.
        prefix: what stands before the key. Default ``"Bearer "``, with the space.
    """

    name: str = field(default="Authorization", validator=_check_header)
    prefix: str = field(default="Bearer ", validator=_check_prefix)


@frozen
class QueryKey:
    """The key is sent in the query of the address.

    Addresses are logged by proxies and servers. Use it only if the service accepts nothing
    else. The library shows the address in no error, log or repr.

    Attributes:
        name: the parameter's name, such as ``token``.
    """

    name: str = field(validator=_check_parameter)


@frozen
class FrameKey:
    """The key is sent in a frame: `StreamProtocol.opening` is given it."""


Credential = HeaderKey | QueryKey | FrameKey
