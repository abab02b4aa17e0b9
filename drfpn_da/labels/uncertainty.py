"""How far a depth network is from its teacher on a picture (arXiv 2012.10782, section 3.4)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..functional import log_disparity_error

# Where the published error is not counted: far away, and the car's own bonnet.
FAR, BONNET = 0.07, 0.87


def student_error(teacher: Tensor, student: Tensor) -> Tensor:
    """Return the (N,) mean of ``|log(1 + d_S) - log(1 + d_T)|`` over whole pictures.

    Pixels count as 0 where the teacher's disparity, its largest within 7x7 pixels, is below 0.07,
    and in the lowest 13 % of the rows.

    Args:
        teacher: (N, H, W) disparity in [0, 1], stretched to that range in each picture.
        student: (N, H, W) disparity in [0, 1].
    """
    first, second = teacher[:, None], student[:, None]
    near = F.max_pool2d(first, 7, stride=1, padding=3) >= FAR
    rows = torch.arange(first.shape[2], device=first.device) <= BONNET * first.shape[2]
    return log_disparity_error(first, second, near & rows[:, None])
