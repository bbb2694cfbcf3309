"""Webhooks: checks and parses what the platform posts, and drops repeated deliveries.

`RedisSeenKeys` needs the extra ``redis``, which is loaded when the name is asked for.
"""

from typing import TYPE_CHECKING

from .dedupe import Claim, SeenKeys, SharedSeenKeys
from .parse import WebhookReceiver, parse_webhook

if TYPE_CHECKING:
    from .redis_dedupe import RedisSeenKeys as RedisSeenKeys
else:

    def __getattr__(name: str) -> object:
        if name != "RedisSeenKeys":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from .redis_dedupe import RedisSeenKeys

        return RedisSeenKeys


__all__ = ["Claim", "SeenKeys", "SharedSeenKeys", "WebhookReceiver", "parse_webhook"]
