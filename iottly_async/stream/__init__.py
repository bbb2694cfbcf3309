"""The real-time stream: messages over a WebSocket, without loss and without repeats.

**The problem.** A WebSocket loses messages silently. A network can fail so that neither
side notices: the socket stays open, and nothing comes. A proxy can drop a frame. While the
client reconnects, the service goes on sending, and what it sent is gone. The socket has no
replay, so a client that only reads it misses messages and does not know which.

**The idea.** The socket is fast but forgets; the REST API is slow but remembers. So messages
come over the socket, the stream keeps track of what it cannot have seen, and REST fills in
exactly that. Six parts work together:

- *Silence* (`transport.websocket`): an idle connection is pinged, and closed if no pong comes.
  If the service promises a frame every n seconds, a connection without one is closed as well.
  So a dead connection is noticed within `2 * heartbeat` seconds.
- *Numbers* (`reorder`): the service numbers the messages of a connection 1, 2, 3, ... A message
  that comes too early is held for half a second. If the missing number comes, the order is
  restored. If not, it is lost, and the stream knows that it is. Heartbeats repeat the last
  number, so the loss of the very last message is noticed, too.
- *Position* (`position`): the time up to which everything was delivered. It never passes the
  service's present less `settle` seconds, so one message that is stamped an hour ahead hides
  nothing. The service's clocks need not agree: the earliest of what the newest stamps and
  the service's own times say counts (D11).
- *Gaps* (`supervisor`, `gap`): the supervisor is the task that connects, reads and reconnects.
  When a new connection is subscribed, or numbers are lost, the time from the position on is
  a `Gap`. The gap is put into the buffer, at its place among the messages.
- *Backfill* (`backfill`): with `fill_gaps`, the consumer's side reads a gap by a walk over the
  REST history, one walk a device, before it goes on with the buffer. The walk starts
  `lookback` seconds before the gap and waits until `settle` seconds after it, because a
  message can become visible later than its timestamp says (D11).
- *Dedupe* (`dedupe`): the walk reads more than the gap, so it finds messages that were yielded
  before. They are recognised by their digests and dropped. Copies are counted: of three
  identical messages, three are yielded. Each message in the buffer carries the position
  before it, which tells how far back messages must be remembered.

**The way of a message.** `transport.websocket` receives a frame; `protocol` turns it into
`frames`, of which a `MessageFrame` is one; `supervisor` passes the message through `reorder`,
drops it if it is not of the stream's devices and type, and puts it into `buffer`; `stream`,
where the consumer iterates, drops it if `dedupe` has seen it, or yields it. The buffer is
bounded. If it is full, the supervisor stops reading, so that the service has to wait; or, with
`overflow="drop_oldest"`, the oldest message becomes part of a gap.

**The protocol.** How the vendor's WebSocket works we could not read (D9). So all that depends
on it is one object, a `StreamProtocol`: the address, where the key is sent, what is sent on
opening, and which frames a text holds. `default_protocol` is an assumption.

**The invariants.**

1. Every message is yielded, or it was sent in a gap that is yielded. With `fill_gaps`, every
   message is yielded, with three exceptions: one that becomes visible in a gap and is stamped
   more than `lookback` seconds before it; one in a gap that is stamped after the gap's end,
   if it is the first of this kind; and the identical twin that `dedupe` describes.
2. With `fill_gaps`, no message is yielded twice.
3. A gap is yielded before all messages that were sent after it.
4. Cancelling a consumer loses nothing: what was taken but not yielded is kept by the stream.
5. A command is sent once. If the connection ends before the service has accepted or refused
   it, the outcome is unknown, and `run` says so (D10).
6. A failure that may pass leads to a reconnect after a pause; a refusal ends the stream. Five
   connections in a row that carried nothing are a refusal.

**A worked example.** A stream with `fill_gaps=True`, `settle=5` and `lookback=5`, and a service
that promises no heartbeats. Times are the service's.

1. 12:00:00: subscribed, `seq` 0. Messages 1 (12:00:10) and 2 (12:00:20) come and are yielded.
   The position is 12:00:15, `settle` seconds before message 2.
2. 12:00:25: the network fails. The service sends message 3 (12:00:30) into the void.
3. 12:00:40: 20 seconds (`heartbeat`) have passed without a frame, so a ping is sent. 12:01:00:
   there is no pong, so the connection is closed. After a random pause below 0.2 seconds the
   stream reconnects and is subscribed at 12:01:01. The supervisor reports
   `Gap(start=12:00:15, end=12:01:01, reason="reconnect")`.
4. Message 4 (12:01:03) comes over the new connection and waits in the buffer, behind the gap.
5. The consumer gets the gap. At 12:01:06, `settle` seconds after the gap, each device is walked
   from 12:00:10, `lookback` seconds before the gap, to 12:01:01. The walk finds messages 1, 2
   and 3. Messages 1 and 2 were yielded before and are dropped; message 3 is yielded.
6. The buffer goes on: message 4 is new, and is yielded. The consumer has seen 1, 2, gap, 3, 4.
"""
