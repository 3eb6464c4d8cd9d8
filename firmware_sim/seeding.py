"""Random numbers that come out the same for the same seed and name."""

import random


def generator(seed: int, name: str) -> random.Random:
    """Give the stream of random numbers that belongs to `name`, independent of all other names."""
    return random.Random(f"{seed}/{name}")  # noqa: S311 - a simulation must be repeatable, nothing is kept secret
