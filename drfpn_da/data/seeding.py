"""Uses of a run's seed, and the global generators; see :mod:`drfpn_da.functional.generators`."""

from __future__ import annotations

import contextlib
import enum
import random
from collections.abc import Iterator

import numpy as np
import torch

from ..functional.generators import derive_seed

__all__ = ["Stream", "derive_seed", "seed_everything", "seeded"]


class Stream(enum.IntEnum):
    """Independent uses of one run's seed, the first number of a position for ``derive_seed``."""

    SAMPLER = 0
    SAMPLE = 1
    STEP = 2
    MODEL = 3
    TARGET = 4


def seed_everything(seed: int) -> None:
    """Seed the global generators of Python, numpy and torch (all devices)."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  (the generator that detectron2's augmentations use)
    torch.manual_seed(seed)


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Inside the block, the global CPU generators start from ``seed``; then they are as before.

    CUDA generators are left alone: loading data does not use them, and workers must not touch CUDA.
    """
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        torch.set_rng_state(states[2])
