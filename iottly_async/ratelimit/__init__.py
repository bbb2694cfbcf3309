"""All of the quota, never a 429: for coroutines, sessions and processes."""

from .limiter import Limiter, Mode, RateLimiter, Ticket, Tier
from .shared import shared_limiter

__all__ = ["Limiter", "Mode", "RateLimiter", "Ticket", "Tier", "shared_limiter"]
