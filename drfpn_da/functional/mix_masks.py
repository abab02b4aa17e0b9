"""Masks that say which of two pictures a mixed picture shows (arXiv 2012.10782, section 3.3).

Picture ``i`` of a batch is mixed with its next, ``(i + 1) mod N``; a mask is True where ``i`` stays
visible. Pictures of unequal size lie at the top left of a common canvas.
"""

from __future__ import annotations

from typing import Optional

import torch
from torch import Tensor


def normalize_disparity(disparity: Tensor, inside: Optional[Tensor] = None) -> Tensor:
    """Stretch the disparity of each picture to [0, 1], nearest 1.

    Args:
        disparity: (N, H, W), larger is nearer, any unit.
        inside: (N, H, W) bool, pixels that belong to the picture; None: all. The others become 0.

    Returns:
        (N, H, W); 0 everywhere for a picture of constant disparity, which then is "far".
    """
    if inside is None:
        inside = torch.ones_like(disparity, dtype=torch.bool)
    infinity = float("inf")
    low = disparity.masked_fill(~inside, infinity).amin(dim=(-2, -1), keepdim=True)
    high = disparity.masked_fill(~inside, -infinity).amax(dim=(-2, -1), keepdim=True)
    width = high - low
    varies = inside & (width > 0)
    return torch.where(varies, (disparity - low) / torch.where(width > 0, width, 1), 0.0)


def depth_masks(disparity: Tensor, margin: float = 0.03, threshold: float = 0.0) -> Tensor:
    """Return DepthMix's masks: what is at least as near as the other picture stays visible.

    Args:
        disparity: (N, H, W), larger is nearer; as a rule of :func:`normalize_disparity`.
        margin: by so much the own pixel may be farther away than the other's.
        threshold: pixels of smaller disparity never stay.

    Returns:
        (N, H, W) bool, ``d_i >= d_j - margin`` and ``d_i >= threshold``.
    """
    return (disparity >= next_in_cycle(disparity) - margin) & (disparity >= threshold)


def class_masks(labels: Tensor, ignore: int, generator: Optional[torch.Generator] = None) -> Tensor:
    """Return ClassMix's masks: half of each picture's classes, rounded down (arXiv 2007.07936).

    Args:
        labels: (N, H, W) class ids.
        ignore: value of pixels without a class.
        generator: of the choice, on the CPU.

    Returns:
        (N, H, W) bool; all False for a picture of fewer than two classes.
    """
    masks = []
    for one in labels:
        classes = one.unique()
        classes = classes[classes != ignore]
        order = torch.randperm(len(classes), generator=generator)[: len(classes) // 2]
        masks.append(torch.isin(one, classes[order.to(classes.device)]))
    return torch.stack(masks)


def cut_masks(
    count: int, size: tuple[int, int], generator: Optional[torch.Generator] = None
) -> Tensor:
    """Return CutMix's masks: all but a rectangle of half the area (arXiv 1906.01916).

    Args:
        count: number of pictures, N.
        size: height and width.
        generator: of width and place, on the CPU.

    Returns:
        (N, H, W) bool on the CPU; the rectangles are between W/2 and W wide.
    """
    height, width = size
    masks = torch.ones(count, height, width, dtype=torch.bool)
    share, x, y = torch.rand(3, count, generator=generator).tolist()
    for i in range(count):
        w = round(width * (0.5 + 0.5 * share[i]))
        h = min(height, round(height * width / (2 * max(w, 1))))
        left, top = round(x[i] * (width - w)), round(y[i] * (height - h))
        masks[i, top : top + h, left : left + w] = False
    return masks


def next_in_cycle(values: Tensor) -> Tensor:
    """Return what the partner of each picture has: ``values[(i + 1) mod N]`` at ``i``."""
    return values.roll(-1, dims=0)
