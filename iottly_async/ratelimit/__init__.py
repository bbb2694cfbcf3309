"""Uses the whole quota of an API key, and avoids refusals (429).

**The problem.** The service counts the requests of a key, say 600 a minute, and refuses any
beyond with a 429. Each answer tells `Limit`, `Remaining` and `Reset`. Fifty coroutines that
back off after refusals waste both requests and time; a limiter with a fixed rate wastes what
the server would still allow, and is wrong as soon as another process uses the same key. So a
request goes when the *server's* count has room for it, and waits here otherwise.

**The idea.** Before a request, a caller takes a *permit* (`acquire`). Afterwards it gives the
permit back: with the answer (`answered`), without one (`lost`), or unused (`unused`). Between
the two the request is *in flight*. What may be granted is:

    free = (smallest Remaining seen in this window) - (permits in flight) - (reserve)

The smallest `Remaining` belongs to the answer that the server made last, in whatever order
answers arrive. Everything that the server counted after that answer is still in flight. So
`free` is never too large if the key is used here alone. If another client uses it too, every
answer corrects `free`.

**An example.** The limit is 60. Nothing is known, so one request goes as a *probe* and the
others wait. Its answer says 59 left: 59 permits are granted at once, and 59 left less 59 in flight
is 0 free. The first two answers say 40 and then 47: the smaller counts, so 40 less 57 in flight is
-17 free. That is too small, because 18 of the 57 are counted twice: in the 40, and as in flight. It
rises as answers arrive, and is never too large. When all have arrived, 0 is left and 0 in flight.
`Reset` says that the window ends at 12:01:00. At that time of the server's clock, plus 20 ms, one
probe goes; its answer says 59 left in the next window.

**Others on the key.** Clients that all take what remains are refused when a window runs out. So
once an answer shows that others use a fixed window too, a client takes its share of it, and looks
now and then whether others left theirs unused: see `share`.

**The server's clock.** `Reset` is a time of the server's clock, and the local clock may be wrong.
The `Date` of every answer bounds the difference (`iottly_async.server_clock`). The local wall
clock is used if it lies within the bounds; if a probe shows that it is ahead, never again.

**Ways of counting.** `QuotaState` begins with fixed windows. If `Reset` moves early and step by
step, the server keeps a rolling quota: it is counted as a sliding log, which is the strictest way.
One request tests whether requests come back sooner than a sliding log could give them back;
then it is a token bucket. Without limit headers a configured tier is counted as a sliding log,
or nothing limits but refusals. A further way of counting is a class like those, a `Supply`.

**Refusals.** A 429 begins a *cooldown* for all requests of the key: until `Retry-After`, or until
the window ends if nothing is left. Then one probe goes, and its answer ends the cooldown or
begins the next. Refusals of requests that were granted before belong to the same episode.

**Refusals that tell nothing.** A 429 without limit headers and `Retry-After`, or a proxy's 503
among successes, sets a *learned rate* (D17): between what has passed and what was refused. It
holds beside whatever the headers say, because it may be a proxy's. It grows with each request
that passes until the next refusal. On nginx with `limit_req rate=40r/s burst=5`, the first burst
passes 6 requests; the rate starts at 12 a second and reaches 40 within 2 s; from then on three
requests in a hundred are refused. As long as no limit is known at all, ten requests go at first,
and twice as many after each round trip.

**Invariants.**

- A permit is over exactly once; further end calls do nothing.
- Whatever frees a permit grants it before it returns: no waiter is forgotten, none overtaken.
- A lost request counts as spent until a later answer shows that it was not.
- Only the pure classes decide, as functions of their arguments and `now`; `RateLimiter` waits.

**Where to find what.** `headers` reads header fields. `observe` tells what an answer means, for
the local limiter and for Redis. `window` and `rolling` count. `state` chooses among them, `share`
leaves others theirs, `adaptive` learns a rate, of what `throughput` proves; `dry_spells` probes
while all is refused, and `alternation` tells a proxy's 503 from an outage. `permits` grants,
`cooldown` pauses, `waiters` queues, `limiter` awaits, `registry` shares limiters among sessions.
`distributed` shares one quota among processes: each leases permits by a script in Redis, which
keeps the same count.
"""

from typing import TYPE_CHECKING

from .limiter import Limiter, Mode, Permit, RateLimiter, Tier
from .registry import chosen_limiter, shared_limiter

if TYPE_CHECKING:
    from .distributed.limiter import RedisLimiter as RedisLimiter
else:

    def __getattr__(name: str) -> object:
        # Not in `__all__`: it needs the extra `redis`, which is loaded only if asked for.
        if name != "RedisLimiter":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from .distributed.limiter import RedisLimiter

        return RedisLimiter


__all__ = ["Limiter", "Mode", "Permit", "RateLimiter", "Tier", "chosen_limiter", "shared_limiter"]
