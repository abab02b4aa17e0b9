"""The one scheme of seeds: what is drawn depends on where it is used, not on what was drawn before.

:func:`derive_seed` mixes a seed with numbers that say where. A run's seed, a use of it and a
position make the order of the data, each sample's augmentation and the first weights
(:mod:`drfpn_da.data.seeding`). With iteration and process it makes the global seed of a step, from
which detectors sample. With the part of an accumulated batch and the use, that makes the seeds of
:func:`step_generator`, for all else that a step draws.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

import numpy as np
import torch

_PART = ContextVar("part of the step's batch", default=0)


def derive_seed(seed: int, *position: int) -> int:
    """Mix a seed with a position into a seed of its own.

    Args:
        seed: not negative.
        position: non-negative numbers, for example a use, an iteration and a process.

    Returns:
        An integer in [0, 2**32), well spread even for neighbouring positions.
    """
    sequence = np.random.SeedSequence([seed, *(int(number) for number in position)])
    return int(sequence.generate_state(1, np.uint32)[0])


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
    """Return a generator whose numbers depend on seed, iteration, process, part and use alone.

    The seed is torch's global one, which the trainer sets for each iteration and process, and
    detectron2's own for each process; the part is that of :func:`part_of_step`. Who draws from the
    generator leaves the global random numbers as they are: runs with and without can be compared
    pairwise, and a resumed run draws the same.

    Args:
        iteration: of the training.
        use: tells apart those who draw in one step.
        device: of the generator.
    """
    seed = derive_seed(torch.initial_seed(), iteration, _PART.get(), *use.encode())
    return torch.Generator(device=device).manual_seed(seed)
