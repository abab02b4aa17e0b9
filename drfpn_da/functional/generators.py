"""Random numbers that belong to a training step, apart from the global ones."""

from __future__ import annotations

import torch


def step_generator(
    iteration: int, use: str = "", device: torch.device | str = "cpu"
) -> torch.Generator:
    """Return a generator whose numbers depend on the seed, the iteration and the use alone.

    Who draws from it leaves the global random numbers as they are: runs with and without can be
    compared pairwise, and a resumed run draws the same.

    Args:
        iteration: of the training.
        use: tells apart those who draw in one step.
        device: of the generator.
    """
    position = sum(ord(letter) * 31**i for i, letter in enumerate(use))
    seed = torch.initial_seed() * 1000003 + iteration * 7919 + position
    return torch.Generator(device=device).manual_seed(seed % 2**63)
