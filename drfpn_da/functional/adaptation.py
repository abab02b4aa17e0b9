"""Where a deformable convolution looks when it is led by a predicted box."""

from __future__ import annotations

import torch
from torch import Tensor

#: Numbers that :func:`box_offsets` takes beside the box: y and x of seven of nine samples.
FREE_OFFSETS = 14


def box_offsets(ltrb: Tensor, free: Tensor) -> Tensor:
    """Return offsets of a 3x3 deformable convolution whose first and last sample are box corners.

    After Wan et al. (arXiv 2011.08529), supervised feature adaptation: the samples at the corners
    of the initial box, the other seven where they are learnt to be.

    Args:
        ltrb: (N, 4, H, W), distances from each cell to the left, top, right and bottom side of its
            box, in cells.
        free: (N, 14, H, W), offsets (y, x) of the second to the eighth sample.

    Returns:
        (N, 18, H, W), y and x of each sample, row by row, relative to its place in a 3x3 kernel, as
        ``torchvision.ops.deform_conv2d`` takes them.
    """
    left, top, right, bottom = ltrb.split(1, dim=1)
    # A kernel's first sample lies one cell up and left of its centre, the last one down and right.
    return torch.cat([1 - top, 1 - left, free, bottom - 1, right - 1], dim=1)


def scale_gradient(x: Tensor, factor: float) -> Tensor:
    """Return ``x``, whose gradient is multiplied by ``factor``."""
    return x.detach() + factor * (x - x.detach())
