"""Random numbers that belong to a training step, apart from the global ones."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

import torch

_PART = ContextVar("part of the step's batch", default=0)


@contextlib.contextmanager
def part_of_step(part: int) -> Iterator[None]:
    """Inside the block, :func:`step_generator` draws for one part of a step's batch.

    Args:
        part: number, from 0; without this block it is 0.
    """
    token = _PART.set(part)
    try:
        yield
    finally:
        _PART.reset(token)


def step_generator(
    iteration: int, use: str = "", device: torch.device | str = "cpu"
) -> torch.Generator:
    """Return a generator whose numbers depend on seed, iteration, part of the batch and use alone.

    Who draws from it leaves the global random numbers as they are: runs with and without can be
    compared pairwise, and a resumed run draws the same.

    Args:
        iteration: of the training.
        use: tells apart those who draw in one step.
        device: of the generator.
    """
    position = sum(ord(letter) * 31**i for i, letter in enumerate(use))
    seed = torch.initial_seed() * 1000003 + iteration * 7919 + _PART.get() * 15485863 + position
    return torch.Generator(device=device).manual_seed(seed % 2**63)
