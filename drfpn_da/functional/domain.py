"""Domain losses of Strong-Weak Distribution Alignment (arXiv 1812.04798) and their means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor

#: Domain labels.
SOURCE, TARGET = 0, 1


def picture_cells(
    image_sizes: Sequence[tuple[int, int]], stride: int, features: Tensor
) -> Optional[list[tuple[int, int]]]:
    """Return (height, width) in cells of the part of each map that lies on a picture.

    Args:
        image_sizes: (height, width) of each picture before it was padded to the batch's size.
        stride: pixels per cell.
        features: (N, C, H, W) map.

    Returns:
        One for each picture, or None if all of them fill the map.
    """
    height, width = (int(size) for size in features.shape[-2:])
    cells = [(min(-(-h // stride), height), min(-(-w // stride), width)) for h, w in image_sizes]
    return None if all(size == (height, width) for size in cells) else cells


def valid_cells(
    image_sizes: Sequence[tuple[int, int]], stride: int, features: Tensor
) -> Optional[Tensor]:
    """Return the (N, 1, H, W) boolean mask of the cells that lie on a picture, not on its padding.

    Args:
        image_sizes: (height, width) of each picture before it was padded to the batch's size.
        stride: pixels per cell.
        features: (N, C, H, W) map.

    Returns:
        The mask, or None if every cell is valid.
    """
    cells = picture_cells(image_sizes, stride, features)
    if cells is None:
        return None
    height, width = features.shape[-2:]
    mask = torch.zeros(len(cells), 1, height, width, dtype=torch.bool, device=features.device)
    for image, (valid_height, valid_width) in zip(mask, cells):
        image[:, :valid_height, :valid_width] = True
    return mask


def masked_mean(x: Tensor, mask: Optional[Tensor] = None) -> Tensor:
    """Average (N, C, H, W) over the cells of each picture, to (N, C).

    Args:
        x: maps.
        mask: (N, 1, H, W), true where a cell counts; None: everywhere.
    """
    if mask is None:
        return x.mean(dim=(-2, -1))
    weight = mask.to(x.dtype)
    return (x * weight).sum(dim=(-2, -1)) / weight.sum(dim=(-2, -1))


def least_squares_domain_loss(logits: Tensor, domain: int, mask: Optional[Tensor] = None) -> Tensor:
    """Half the mean squared distance of sigmoid(logits) from the domain label (equations 3, 4).

    The mean is taken over the cells of each picture, then over pictures: every picture counts the
    same, whatever its size. Computed in at least float32.

    Args:
        logits: (N, 1, H, W).
        domain: :data:`SOURCE` or :data:`TARGET`.
        mask: (N, 1, H, W) of valid cells; None: all.
    """
    probability = at_least_float32(logits).sigmoid()
    return 0.5 * masked_mean((probability - domain) ** 2, mask).mean()


def focal_domain_loss(
    logits: Tensor, domain: int, gamma: float = 5.0, exponential: bool = False
) -> Tensor:
    """Half the mean focal loss of the domain label (equations 1, 2).

    With p the softmax probability of the label, ``-(1 - p)**gamma * log p``, or
    ``-exp(-gamma * p) * log p`` if ``exponential``. Through ``log_softmax`` in at least float32, so
    that a saturated discriminator neither overflows nor loses its gradient.

    Args:
        logits: (N, 2), columns by domain label.
        domain: :data:`SOURCE` or :data:`TARGET`.
        gamma: not negative; 0 is cross-entropy.
        exponential: use the exponential weight.
    """
    log_p = F.log_softmax(at_least_float32(logits), dim=1)[:, domain]
    p = log_p.exp()
    weight = torch.exp(-gamma * p) if exponential else (1 - p) ** gamma
    return 0.5 * -(weight * log_p).mean()


def at_least_float32(x: Tensor) -> Tensor:
    """Return ``x`` in float32 if it is in half precision, else ``x`` itself."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
