"""Losses and errors of depth: the reversed Huber loss (Laina et al., arXiv 1606.00373)."""

from __future__ import annotations

from typing import Optional

import torch
from torch import Tensor


def berhu_loss(
    prediction: Tensor, target: Tensor, mask: Optional[Tensor] = None, threshold: float = 0.2
) -> Tensor:
    """Absolute error up to c, squared beyond: ``e`` or ``(e**2 + c**2) / (2 c)``.

    Args:
        prediction: any shape.
        target: same shape.
        mask: same shape or broadcastable, 0 where an entry has no error; such entries still count
            in the mean, as published. None: all ones.
        threshold: c as a share of the largest error in the batch; not differentiated.

    Returns:
        The mean over all entries.
    """
    error = (prediction - target).abs()
    if mask is not None:
        error = error * mask
    c = (threshold * error.detach().amax()).clamp(min=torch.finfo(error.dtype).tiny)
    return torch.where(error <= c, error, (error**2 + c**2) / (2 * c)).mean()


def log_disparity_error(
    prediction: Tensor, target: Tensor, mask: Optional[Tensor] = None
) -> Tensor:
    """Mean of ``|log(1 + d) - log(1 + d')|`` per image (arXiv 2012.10782, section 3.4).

    Args:
        prediction: (N, 1, H, W) not negative.
        target: same shape.
        mask: same shape, 0 where the error is left out; such pixels still count in the mean.

    Returns:
        (N,) means over the whole images.
    """
    error = (prediction.log1p() - target.log1p()).abs()
    if mask is not None:
        error = error * mask
    return error.flatten(1).mean(1)
