"""Adding a coarse map to a finer one."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def add_upsampled(low: Tensor, high: Tensor) -> Tensor:
    """Return ``low`` (N, C, H, W) plus ``high`` of half the size, up-sampled (nearest).

    When the sizes are exactly double, the rows are doubled by broadcasting: the up-sampled map is
    never held, and on CPU it costs less than ``interpolate``. The result is the
    same to the bit.
    """
    batch, channels, height, width = high.shape
    doubled = tuple(low.shape) == (batch, channels, 2 * height, 2 * width)
    if not (doubled and low.is_contiguous()):
        return low + F.interpolate(high, size=low.shape[-2:], mode="nearest")
    rows = torch.stack((high, high), dim=-1).view(batch, channels, height, 1, 2 * width)
    return (low.view(batch, channels, height, 2, 2 * width) + rows).view(low.shape)
