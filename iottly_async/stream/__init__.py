"""The real-time stream: messages over a WebSocket, with reconnects, reordering and backfill."""
