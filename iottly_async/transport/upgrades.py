"""aiohttp sessions for WebSockets, with the connection settings of requests.

`ClientSession.ws_connect` takes no middlewares, and a stream needs one (see `websocket`). So
a WebSocket has a session of its own. For a session of the caller's it is a copy of the whole
object: its connector, cookies, proxy, headers, middlewares and traces, and what a subclass
adds. A stream takes the same way as requests do.
"""

from __future__ import annotations

import aiohttp
from aiohttp import ClientSession, DummyCookieJar

from ..config import Config
from .connector import connector_for, timeout_of
from .given import check_given, copied, middlewares_of
from .proxy import through_proxy


def upgrade_session(
    config: Config, given: ClientSession | None, *middlewares: aiohttp.ClientMiddlewareType
) -> ClientSession:
    """Make a session for WebSockets; closing it does not close the caller's connector.

    Args:
        config: the settings, for a session without one of the caller's.
        given: the caller's session, whose settings are used; None if there is none.
        middlewares: for every request of the new session, within those of the caller.

    Raises:
        SetupError: the caller's session cannot be used, or cannot be copied.
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
    check_given(given)
    return copied(
        given,
        timeout=timeout,
        middlewares=(through_proxy, *middlewares_of(given), *middlewares),
    )
