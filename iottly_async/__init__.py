"""iottly-async."""
