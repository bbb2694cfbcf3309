"""aiohttp sessions for WebSockets, with the connection settings of requests.

`ClientSession.ws_connect` takes no middlewares, and a stream needs one (see `websocket`). So
a WebSocket has a session of its own. For a session of the caller's it is a copy: the same
connector, cookies, proxy, headers, middlewares and traces, so that a stream takes the same
way as requests do. Some of these have no public name in aiohttp (seen in 3.14.5). Without
one of them a stream could go round the caller's proxy, with the key, so it is not opened.
"""

from __future__ import annotations

from typing import Final

import aiohttp
from aiohttp import ClientSession, DummyCookieJar

from ..config import Config
from ..errors import SetupError
from .connector import connector_for, timeout_of
from .proxy import through_proxy

_COPIED: Final = (
    "_default_auth",
    "_default_proxy",
    "_default_proxy_auth",
    "_request_class",
    "_ws_response_class",
)


def upgrade_session(
    config: Config, given: ClientSession | None, *middlewares: aiohttp.ClientMiddlewareType
) -> ClientSession:
    """Make a session for WebSockets; closing it does not close the caller's connector.

    Args:
        config: the settings, for a session without one of the caller's.
        given: the caller's session, whose settings are used; None if there is none.
        middlewares: for every request of the new session, within those of the caller.

    Raises:
        SetupError: the caller's session is closed, or this version of aiohttp does not tell
            all of its settings.
    """
    timeout = timeout_of(config)
    if given is None:
        return ClientSession(
            connector=connector_for(config, force_close=True),
            cookie_jar=DummyCookieJar(),
            trust_env=config.trust_env,
            timeout=timeout,
            middlewares=(through_proxy, *middlewares),
        )
    if given.closed:
        raise SetupError("the aiohttp session given as http= is closed")
    copied = {name: getattr(given, name, _COPIED) for name in (*_COPIED, "_middlewares")}
    if _COPIED in copied.values():
        raise SetupError(
            f"aiohttp {aiohttp.__version__} does not tell all settings of the session given as "
            "http=, so that a stream might go round its proxy; open the stream without http="
        )
    session = ClientSession(
        connector=given.connector,
        connector_owner=False,
        cookie_jar=given.cookie_jar,
        headers=given.headers,
        skip_auto_headers=given.skip_auto_headers,
        trace_configs=given.trace_configs,
        trust_env=given.trust_env,
        timeout=timeout,
        middlewares=(through_proxy, *copied.pop("_middlewares"), *middlewares),
    )
    # Set and not passed: passing `auth` and `proxy_auth` gives a warning.
    for name, value in copied.items():
        setattr(session, name, value)
    return session
