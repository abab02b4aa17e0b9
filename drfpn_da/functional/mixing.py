"""Mixing of anything that belongs to pixels, by masks of ``mix_masks``."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .mix_masks import next_in_cycle

#: Field of a target sample with the (H, W) labels of its picture, where they may be known.
GIVEN_LABELS = "given_labels"


def mix_with_next(values: Tensor, masks: Tensor) -> Tensor:
    """Take each pixel from picture ``i`` where its mask is True, else from ``(i + 1) mod N``.

    Args:
        values: (N, H, W) or (N, C, H, W) of any type: pictures, labels, probabilities, weights.
        masks: (N, H, W) bool.

    Returns:
        As ``values``.

    Raises:
        ValueError: fewer than two pictures, or masks of another size.
    """
    if len(values) < 2:
        raise ValueError(f"mixing needs at least two pictures, not {len(values)}")
    if masks.shape != (len(values), *values.shape[-2:]):
        raise ValueError(f"masks {tuple(masks.shape)} do not fit values {tuple(values.shape)}")
    if values.dim() == 4:
        masks = masks[:, None]
    return next_in_cycle(values).where(~masks, values)


def confine_masks(masks: Tensor, inside: Tensor) -> Tensor:
    """Return masks that never show padding, neither the own nor the partner's.

    Args:
        masks: (N, H, W) bool.
        inside: (N, H, W) bool, pixels that belong to the picture.

    Returns:
        (N, H, W) bool: ``i`` stays where its partner has no pixel. Each mixed picture has the size
        of picture ``i``; beyond it the mask means nothing.
    """
    return masks | ~next_in_cycle(inside)


def stack_padded(maps: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
    """Stack (..., h, w) maps at the top left of zeros of one size (H, W)."""
    return torch.stack(
        [F.pad(m, (0, size[1] - m.shape[-1], 0, size[0] - m.shape[-2])) for m in maps]
    )


def picture_masks(sizes: Sequence[tuple[int, int]], device: torch.device | str = "cpu") -> Tensor:
    """Return (N, H, W) bool, True where a canvas as large as the largest shows picture ``i``.

    Args:
        sizes: (height, width) of each picture.
        device: of the masks.
    """
    full = [torch.ones(size, dtype=torch.bool, device=device) for size in sizes]
    return stack_padded(full, (max(h for h, _ in sizes), max(w for _, w in sizes)))
