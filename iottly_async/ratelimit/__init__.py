"""All of the quota, never a 429: for coroutines, sessions and processes."""

from typing import TYPE_CHECKING

from .limiter import Limiter, Mode, Permit, RateLimiter, Tier
from .registry import chosen_limiter, shared_limiter

if TYPE_CHECKING:
    from .distributed.limiter import RedisLimiter as RedisLimiter
else:

    def __getattr__(name: str) -> object:
        # Not in `__all__`: it needs the extra `redis`, which is loaded for nobody else.
        if name != "RedisLimiter":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from .distributed.limiter import RedisLimiter

        return RedisLimiter


__all__ = ["Limiter", "Mode", "Permit", "RateLimiter", "Tier", "chosen_limiter", "shared_limiter"]
