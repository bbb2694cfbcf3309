"""The emulator's fleet: made-up devices, messages and payloads, or those of a file."""
