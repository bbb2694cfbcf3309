"""The JSON lines store: a file of messages, and a sidecar with the job's state."""
