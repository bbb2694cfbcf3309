"""Webhooks: what the platform posts for each message, parsed, checked and handled once."""
