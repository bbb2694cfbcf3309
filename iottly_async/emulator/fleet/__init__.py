"""The emulator's made-up fleet: devices, their history and payloads, or a file of messages."""
