"""An aiohttp session of the caller's (`http=`): what it must be, its middlewares, and a copy.

The names of a session's settings are not in aiohttp's reference (seen in 3.14.5). Without
them, a request would go round a middleware of the caller's, or a stream round a proxy, with
the key. Then nothing is sent.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import aiohttp
from aiohttp import ClientMiddlewareType, ClientSession

from ..errors import SetupError


def check_given(session: ClientSession) -> None:
    """Refuse a session that cannot send a request with the API key.

    Raises:
        SetupError: the session is closed, or has a credential of its own: aiohttp would send
            it to the service, and refuses it beside that of the fleet API.
    """
    if session.closed:
        raise SetupError("the aiohttp session given as http= is closed")
    if _is_real(session) and getattr(session, "auth", None) is not None:
        raise SetupError(
            "the auth= of the aiohttp session given as http= would be sent to the service "
            "beside the API key; give a session without it (a proxy's credential goes into proxy=)"
        )


def middlewares_of(session: ClientSession) -> Sequence[ClientMiddlewareType]:
    """The middlewares of a session; those of a request replace them.

    Raises:
        SetupError: this version of aiohttp keeps them elsewhere.
    """
    if not _is_real(session):
        return ()
    found: Sequence[ClientMiddlewareType] | None = getattr(session, "_middlewares", None)
    if found is None:
        raise SetupError(
            f"aiohttp {aiohttp.__version__} does not tell the middlewares of the session given "
            "as http=; open the session without http="
        )
    return found


def copied(session: ClientSession, **changed: object) -> ClientSession:
    """Copy a session, with everything that it was given and that its class adds.

    Args:
        session: the session; the copy has the same connector and does not own it.
        changed: the copy's own `timeout` and `middlewares`.

    Raises:
        SetupError: this version of aiohttp keeps the settings elsewhere, or a method of the
            session was replaced, which its copy could not do.
    """
    own: dict[str, Any] = {"_connector_owner": False}
    own |= {f"_{name}": value for name, value in changed.items()}
    if not own.keys() <= vars(session).keys():
        raise SetupError(
            f"aiohttp {aiohttp.__version__} does not tell all settings of the session given as "
            "http=, so that a stream might go round its proxy; open the stream without http="
        )
    replaced = [name for name in vars(session) if callable(getattr(type(session), name, None))]
    if replaced:
        raise SetupError(
            f"the aiohttp session given as http= has a {replaced[0]} of its own, which a stream "
            "would go round; replace it in the class, or open the stream without http="
        )
    copy_of_it = copy.copy(session)
    for name, value in own.items():
        setattr(copy_of_it, name, value)
    return copy_of_it


def _is_real(session: ClientSession) -> bool:
    """Whether it is a session, and not a mock that says so."""
    return issubclass(type(session), ClientSession)
