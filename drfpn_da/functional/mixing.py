"""Mixing of anything that belongs to pixels, by masks of ``mix_masks``."""

from __future__ import annotations

from torch import Tensor

from .mix_masks import next_in_cycle


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
