"""One attempt over HTTP: the one room that knows aiohttp.

Requests go over connections of our own (`own`), which are aiohttp's connector and parser
without its session; through an aiohttp session (`through`) only where one is given, or
where the environment's proxies and .netrc are to be heeded. `client` chooses, and holds
what is the same for both.

What aiohttp does that this room works around, each seen in 3.14.5 and held by a test
that tells when it is gone (``tests/transport/test_aiohttp_facts.py``):

- A waiter on a bounded connector that is cancelled in the tick in which it is woken
  loses the wake-up and the pool hangs: the connector is unbounded and a semaphore of
  our own stands before it.
- The `Authentication` header travels to another origin on a redirect, and so does the
  body on 307 and 308: redirects are never followed (D12), and `own` has none.
- GET and PUT are silently sent twice on a lost connection: `own` sends nothing twice, and
  `through` turns the loss into an exception that aiohttp does not resend on. Retries are
  `retry`'s alone.
- The request of a WebSocket is redirected and resent alike, whatever is asked for: what
  opens one brings a middleware against both.
- A POST on a stale kept-alive connection fails although nothing was sent: commands use
  a connection of their own each.
- Bytes that arrive on an idle kept connection are handed out as the answer to the next
  question, and all later answers are shifted by one; what the loop had no time to read
  is not seen at all: a kept connection is looked at, in the kernel too, before the first
  byte is written to it, and replaced if anything is there.
- TLS connections that are closed before their time wait half a minute for the peer's
  farewell, and outlive the session: they are aborted.
- Closing the session leaves whoever reads a body hanging: `deadlines` ends calls first.
- `read()` decompresses without a bound: bodies are read in chunks under one.
- A gzip stream that is cut in good framing passes for whole: nothing is done here, for
  no JSON object is whole when cut, and the codec says so.
- A closed session raises a bare `RuntimeError`: whether it is that, the session is asked.
- Time limits above five seconds are rounded up to whole ones: the threshold is lifted.
- Its exceptions' reprs and tracebacks hold headers: they are translated here, and ours
  are raised outside the `except` block, so that none is chained to them.
"""

from .attempt import Outgoing, Transport, Upgrading
from .client import AiohttpTransport, as_transport

__all__ = ["AiohttpTransport", "Outgoing", "Transport", "Upgrading", "as_transport"]
