"""Convolution to very few channels."""

from __future__ import annotations

from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor


def conv3x3_to_few(x: Tensor, weight: Tensor, bias: Optional[Tensor] = None) -> Tensor:
    """3x3 convolution with padding 1, for one or two output channels.

    On CPU the library's kernel wastes most of its width on so few outputs: there the nine taps are
    computed as one pointwise convolution and added up by ``fold``.

    Args:
        x: (N, C, H, W).
        weight: (K, C, 3, 3), K small.
        bias: (K,).

    Returns:
        (N, K, H, W).
    """
    if x.device.type != "cpu" or len(x) == 0 or torch.jit.is_tracing():
        return F.conv2d(x, weight, bias, padding=1)
    outputs, channels = weight.shape[:2]
    # fold() scatters a tap to where a convolution would gather it from: hence the flip.
    pointwise = weight.flip(2, 3).permute(0, 2, 3, 1).reshape(outputs * 9, channels, 1, 1)
    taps = F.conv2d(x, pointwise).flatten(2)
    summed = F.fold(taps, x.shape[-2:], kernel_size=3, padding=1)
    return summed if bias is None else summed + bias.to(summed.dtype)[:, None, None]
