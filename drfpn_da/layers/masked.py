"""Convolution, norm and dropout that ignore the padding of a batch."""

from __future__ import annotations

from typing import Optional

import torch
import torch.nn.functional as F
from detectron2.layers import Conv2d
from torch import Tensor, nn

from ..functional import at_least_float32
from ..functional.pooling import Cells


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


def conv_on_pictures(conv: Conv2d, x: Tensor, cells: Optional[Cells]) -> Tensor:
    """Apply a convolution and its norm, the norm by :func:`norm_on_pictures`.

    Args:
        conv: detectron2's, of stride 1 and without activation.
        x: (N, C, H, W).
        cells: (height, width) in cells of each picture; None: no padding.
    """
    if cells is None or conv.norm is None:
        result: Tensor = conv(x)
        return result
    x = F.conv2d(x, conv.weight, conv.bias, padding=conv.padding)
    return norm_on_pictures(conv.norm, x, cells)


def norm_on_pictures(norm: nn.Module, x: Tensor, cells: Optional[Cells]) -> Tensor:
    """Apply a norm; a group norm sees the pictures only, and leaves zeros outside of them.

    Other norms treat every cell alike, or take their statistics from the whole batch as those of
    bottom-up networks do; they are applied to the whole map.

    Args:
        norm: any of detectron2's.
        x: (N, C, H, W).
        cells: (height, width) in cells of each picture; None: no padding.
    """
    if cells is None or not isinstance(norm, nn.GroupNorm):
        result: Tensor = norm(x)
        return result
    height, width = x.shape[-2:]
    parts = []
    # One by one by torch's own kernel: it keeps one copy, masked sums would keep three. Without
    # the check of GroupNorm, which refuses a picture of one cell.
    for picture, (h, w) in zip(x.split(1), cells):
        own = picture[..., :h, :w]
        own = torch.group_norm(own, norm.num_groups, norm.weight, norm.bias, norm.eps)
        beside = (0, width - w, 0, height - h)
        parts.append(F.pad(own, beside) if any(beside) else own)
    return torch.cat(parts)


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
