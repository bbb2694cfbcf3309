"""One limiter a key, host and thread, whichever sessions use it.

The registry holds its limiters weakly: when the last session that uses one is gone, so is
the limiter, and a later one begins by asking the server. It never sees a key, only the
key's fingerprint.
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
    """A limiter that takes its quota's name from who uses it."""

    def serve(self, quota: str) -> None:
        """Name the quota."""


def chosen_limiter(given: object, key_fingerprint: str, host: str) -> Limiter:
    """The limiter to use for this key and host where a caller gave `given`; None is the shared one.

    Raises:
        ConfigurationError: it is no limiter, or serves another key or host already.
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

    A thread has its own, because event loops that run at once would need a lock around
    every request; limiters of one key keep in step through the server's headers, as
    those of two processes do.

    Args:
        key_fingerprint: what tells keys apart without being one.
        host: the server's host, and port where it has one.
    """
    with _lock:
        at = (key_fingerprint, host, get_ident())
        limiter = _limiters.get(at)
        if limiter is None:
            limiter = _limiters[at] = RateLimiter(name=f"key {key_fingerprint} at {host}")
        return limiter


def forget_limiters(host: str) -> None:
    """Let sessions made from now on start anew with this host, as if it were another server.

    For tests, where one emulator at one address stands for many services in turn, and a
    gate that one of them closed must not hold up the next.
    """
    with _lock:
        for at in [at for at in _limiters if at[1] == host]:
            _limiters.pop(at, None)
