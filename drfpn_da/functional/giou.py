"""Generalised intersection over union of boxes (arXiv 1902.09630)."""

from __future__ import annotations

import torch
from torch import Tensor

# Keeps the quotients finite; fvcore's value.
EPSILON = 1e-7


def generalized_iou_loss(boxes: Tensor, target: Tensor) -> Tensor:
    """Return ``1 - GIoU`` of pairs of boxes.

    The formula of ``fvcore.nn.giou_loss``, whose indices by mask and assertions let the host wait
    for a GPU.

    Args:
        boxes: (..., 4), absolute XYXY, ordered.
        target: (..., 4), likewise.

    Returns:
        (...), in [0, 2].
    """
    low = torch.maximum(boxes[..., :2], target[..., :2])
    sides = torch.minimum(boxes[..., 2:], target[..., 2:]) - low
    overlaps = (sides > 0).all(dim=-1)
    shared = torch.where(overlaps, sides[..., 0] * sides[..., 1], 0.0)
    union = _area(boxes) + _area(target) - shared
    low = torch.minimum(boxes[..., :2], target[..., :2])
    sides = torch.maximum(boxes[..., 2:], target[..., 2:]) - low
    hull = sides[..., 0] * sides[..., 1]
    giou = shared / (union + EPSILON) - (hull - union) / (hull + EPSILON)
    return 1 - giou


def _area(boxes: Tensor) -> Tensor:
    sides = boxes[..., 2:] - boxes[..., :2]
    return sides[..., 0] * sides[..., 1]
