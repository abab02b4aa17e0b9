"""Mixup: convex combinations of samples and of their soft labels (arXiv 1710.09412)."""

from __future__ import annotations

import random

import torch
from torch import Tensor


def mixup(values: Tensor, partner: Tensor, share: float) -> Tensor:
    """Return ``share * values[i] + (1 - share) * values[partner[i]]``.

    The cross-entropy against soft labels mixed so equals the mix of the two cross-entropies.

    Args:
        values: (N, ...) pictures or probabilities.
        partner: (N,) int64 indices into the batch.
        share: of the sample itself, in [0, 1].

    Raises:
        ValueError: ``share`` is outside [0, 1].
    """
    if not 0 <= share <= 1:
        raise ValueError(f"mixup's share is {share}; it lies between 0 and 1")
    return torch.lerp(values[partner], values, share)


def draw_mixup(count: int, alpha: float, generator: torch.Generator) -> tuple[Tensor, float]:
    """Draw who is mixed with whom in a batch.

    Args:
        count: N, of the batch.
        alpha: the share follows Beta(alpha, alpha).
        generator: on the CPU.

    Returns:
        (N,) int64 partners on the CPU, and the share of the sample itself, one for the batch.
    """
    partner = torch.randperm(count, generator=generator)
    draw = random.Random(generator.initial_seed())  # torch's Beta takes no generator
    return partner, draw.betavariate(alpha, alpha)
