"""One limiter a key, host and thread, whichever sessions use it.

The registry holds its limiters weakly: when the last session that uses one is gone, so is
the limiter, and a later one begins by asking the server. It never sees a key, only the
key's fingerprint.
"""

from __future__ import annotations

from threading import Lock, get_ident
from weakref import WeakValueDictionary

from .limiter import RateLimiter

__all__ = ["forget_limiters", "shared_limiter"]

_limiters: WeakValueDictionary[tuple[str, str, int], RateLimiter] = WeakValueDictionary()
_lock = Lock()


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
