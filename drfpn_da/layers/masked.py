"""Convolution, norm and dropout that ignore the padding of a batch."""

from __future__ import annotations

from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..functional import at_least_float32


def blank(x: Tensor, mask: Optional[Tensor]) -> Tensor:
    """Return ``x`` with zeros outside ``mask``, where a convolution then sees zero padding."""
    return x if mask is None else x.masked_fill(~mask, 0)


def halve_mask(mask: Optional[Tensor]) -> Optional[Tensor]:
    """Return the mask after a 3x3 convolution with stride 2 and padding 1."""
    return None if mask is None else mask[..., ::2, ::2]


def apply_norm(norm: nn.Module, x: Tensor, mask: Optional[Tensor]) -> Tensor:
    """Apply a norm whose statistics come from the cells in ``mask`` only.

    Args:
        norm: GroupNorm, or a norm that treats every cell alike (BatchNorm, FrozenBN, SyncBN).
        x: (N, C, H, W).
        mask: (N, 1, H, W) boolean; None: every cell.

    Returns:
        (N, C, H, W); outside the mask undefined for GroupNorm, zero otherwise.
    """
    if mask is None:
        result: Tensor = norm(x)
        return result
    if isinstance(norm, nn.GroupNorm):
        return _masked_group_norm(norm, x, mask)
    cells = mask.squeeze(1)
    by_cell = x.permute(0, 2, 3, 1)
    normalised = norm(by_cell[cells][..., None, None])[..., 0, 0]
    out = by_cell.new_zeros(by_cell.shape, dtype=normalised.dtype)
    out[cells] = normalised
    return out.permute(0, 3, 1, 2)


def _masked_group_norm(norm: nn.GroupNorm, x: Tensor, mask: Tensor) -> Tensor:
    n, c, h, w = x.shape
    # In full precision, as group norm is under autocast.
    grouped = at_least_float32(x).reshape(n, norm.num_groups, c // norm.num_groups, h, w)
    weight = mask[:, None].to(grouped.dtype)
    count = weight.sum(dim=(2, 3, 4), keepdim=True) * grouped.shape[2]
    mean = (grouped * weight).sum(dim=(2, 3, 4), keepdim=True) / count
    variance = ((grouped - mean) ** 2 * weight).sum(dim=(2, 3, 4), keepdim=True) / count
    out = ((grouped - mean) * torch.rsqrt(variance + norm.eps)).reshape(n, c, h, w)
    if norm.affine:
        out = out * norm.weight[:, None, None] + norm.bias[:, None, None]
    return out


def dropout(x: Tensor, p: float, generator: Optional[torch.Generator]) -> Tensor:
    """Drop elements with probability ``p`` and scale the rest, with a generator of its own.

    Args:
        x: any shape.
        p: in [0, 1).
        generator: on the device of ``x``; None: the global one.
    """
    if generator is None:
        return F.dropout(x, p)
    keep = torch.rand(x.shape, generator=generator, device=x.device) >= p
    return x * keep / (1 - p)
