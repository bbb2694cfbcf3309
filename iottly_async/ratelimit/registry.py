"""The limiters that sessions share: one for each key, host and thread (D1).

Limiters are held weakly. When the last session that uses one is gone, so is the limiter, and
a later one learns the quota anew. The registry never sees a key, only its fingerprint.
"""

from __future__ import annotations

from threading import Lock, get_ident
from typing import Protocol, runtime_checkable
from weakref import WeakValueDictionary

from ..errors import ConfigurationError
from .limiter import Limiter, RateLimiter

__all__ = ["chosen_limiter", "forget_limiters", "shared_limiter"]

_limiters: WeakValueDictionary[tuple[str, str, int], RateLimiter] = WeakValueDictionary()
_lock = Lock()


@runtime_checkable
class _Nameless(Protocol):
    """A limiter whose quota is named by the session that uses it."""

    def serve(self, quota: str) -> None:
        """Name the quota."""


def chosen_limiter(given: object, key_fingerprint: str, host: str) -> Limiter:
    """The limiter of a session.

    Args:
        given: the limiter that the caller gave; None for the shared one.
        key_fingerprint: identifies the key without revealing it.
        host: the server's host, and port if it has one.

    Raises:
        ConfigurationError: `given` is no limiter, or serves another key or host already.
    """
    if given is None:
        return shared_limiter(key_fingerprint, host)
    if not isinstance(given, Limiter):
        raise ConfigurationError(
            f"limiter must be a RateLimiter or a RedisLimiter, not {type(given).__name__}"
        )
    if isinstance(given, _Nameless):
        given.serve(f"{key_fingerprint}@{host}")
    return given


def shared_limiter(key_fingerprint: str, host: str) -> RateLimiter:
    """The limiter of this key and host (D1) for sessions made in the calling thread.

    Each thread has its own, because event loops that run at the same time would need a lock
    around every request. Limiters of one key keep in step through the server's headers, as
    those of two processes do.

    Args:
        key_fingerprint: identifies the key without revealing it.
        host: the server's host, and port if it has one.
    """
    with _lock:
        at = (key_fingerprint, host, get_ident())
        limiter = _limiters.get(at)
        if limiter is None:
            limiter = _limiters[at] = RateLimiter(name=f"key {key_fingerprint} at {host}")
        return limiter


def forget_limiters(host: str) -> None:
    """Forget the limiters of a host, so that new sessions learn its quota anew.

    For tests, where one emulator at one address stands for many services in turn, and the
    cooldown of one must not delay the next.

    Args:
        host: the server's host, and port if it has one.
    """
    with _lock:
        for at in [at for at in _limiters if at[1] == host]:
            _limiters.pop(at, None)
