"""Randomness that is the same every time: a generator for each purpose, made from the seed."""

from random import Random


def seeded(seed: int | str, purpose: str) -> Random:
    """A generator of its own for a purpose, so that one more draw here changes nothing there."""
    return Random(f"{seed}/{purpose}")  # noqa: S311 - a fleet is made up, nothing is kept secret
