"""One attempt over HTTP or WebSocket: the only room that knows aiohttp's client.

`client` chooses how a request is sent, limits its time and translates aiohttp's errors.
Requests go over connections of our own (`pooled`), which are aiohttp's connector and parser
without its session. They go through an aiohttp session (`session`) in four cases:

- `IottlySession(http=session)`: a session of the caller's;
- `Config(trust_env=True)`: aiohttp's session reads the environment's proxies and .netrc;
- aiohttp is mocked or instrumented: a method of its session class or of its connector is not
  aiohttp's own, as with aioresponses, vcrpy, aiointercept, OpenTelemetry or Datadog
  (`patched`);
- aiohttp's version is not one that `pooled` was tested with.

To trace requests with `aiohttp.TraceConfig`, or to mock a session object, pass
``http=aiohttp.ClientSession(...)``.

A request *may have left* from the moment it is handed to aiohttp's session, or from its
first byte on a pooled connection. Only a failure that happens before a byte is written
(resolving the name, connecting, TLS, no free connection) clears that, and only then is a
command sent again (D10).

aiohttp behaves in ways that this room works around. Each was seen in 3.14.5, and a test in
``tests/transport/test_aiohttp_facts.py`` says when it is gone:

- A waiter on a limited connector that is cancelled in the tick in which it is woken loses
  the wake-up, and the pool hangs. The connector has no limit, and `client` has a semaphore.
- The `Authentication` header is sent to another origin on a redirect, and so is the body on
  307 and 308. Redirects are never followed (D12); `pooled` has none.
- GET and PUT are silently sent twice on a lost connection. `pooled` sends nothing twice, and
  `session` raises an error that aiohttp does not resend on. Only `retry` retries.
- The request of a WebSocket is redirected and resent in the same way, whatever is asked for.
  `websocket` adds a middleware against both.
- A POST on a stale kept connection fails although nothing was sent. Each command uses a
  connection of its own.
- Bytes that arrive on an idle kept connection are taken for the answer to the next request,
  and every later answer is shifted by one. Bytes that the event loop had no time to read are
  not seen at all. `connection` checks a kept connection, in the kernel too, before the first
  byte is written to it, and replaces it if there is unread input. Bytes that arrive after
  that check are no HTTP as a rule; `Outgoing.kept` says that they may be such a rest, and
  `pipeline` tries a read again on a connection of its own.
- A TLS connection that is closed early waits 30 s for the peer's closing handshake, and
  outlives the session. It is aborted.
- Closing the session leaves a reader of a body waiting for ever. `aio.deadlines` ends calls
  before the session closes.
- `read()` decompresses without a limit. Bodies are read in chunks, up to
  `max_response_bytes`.
- A gzip stream that is cut within correct framing counts as whole. Nothing is done here: a
  JSON object that is cut is not whole, and `codec` raises an error.
- A closed session raises a bare `RuntimeError`. `client` asks the session whether it is
  closed.
- Time limits above 5 s are rounded up to whole seconds. `connector` raises that threshold.
- The reprs and tracebacks of aiohttp's errors hold headers. They are translated, and our
  errors are raised outside the `except` block, so that none is chained to them.
"""

from .attempt import Outgoing, Transport, Upgrading
from .client import AiohttpTransport, as_transport

__all__ = ["AiohttpTransport", "Outgoing", "Transport", "Upgrading", "as_transport"]
