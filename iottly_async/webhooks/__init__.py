"""Webhooks: checks and parses what the platform posts, and drops repeated deliveries."""
