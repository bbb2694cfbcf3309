"""What comes by itself: webhooks, streams, and walks that follow a device."""
