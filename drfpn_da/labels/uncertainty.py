"""Error of a depth network against its teacher on an image (arXiv 2012.10782, section 3.4)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..functional import log_disparity_error

# Where the published error is not counted: far away, and the car's own bonnet.
FAR, BONNET = 0.07, 0.87


def student_error(teacher: Tensor, student: Tensor) -> Tensor:
    """Return the (N,) mean of ``|log(1 + d_S) - log(1 + d_T)|`` over whole pictures.

    Pixels count as 0 within three rows and columns of one where the teacher's disparity is below
    0.07 (the mask of what is far, dilated by 7x7), and from row ``int(0.87 H)`` on.

    Args:
        teacher: (N, H, W) disparity in [0, 1], stretched to that range in each picture.
        student: (N, H, W) disparity in [0, 1].
    """
    first, second = teacher[:, None], student[:, None]
    far = F.max_pool2d((first < FAR).float(), 7, stride=1, padding=3) > 0
    height = first.shape[2]
    rows = torch.arange(height, device=first.device) < int(BONNET * height)
    return log_disparity_error(first, second, ~far & rows[:, None])
