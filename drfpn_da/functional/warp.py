"""Warping a coarse feature map onto a finer grid by offsets (DRFPN, arXiv 2012.01733)."""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._subclasses.fake_tensor import is_fake


def build_sampling_grid(offset: Tensor, align_grid: bool = True) -> Tensor:
    """Turn offsets into the normalised coordinates that ``grid_sample`` takes.

    An offset of 1 moves the sample by ``1 / W`` (x) or ``1 / H`` (y) of the range [-1, 1]: half a
    cell of the fine map, whatever the size of the coarse one.

    Args:
        offset: (N, 2, H, W), channel 0 = x, channel 1 = y.
        align_grid: True centres the grid on the cells, so that zero offsets resample without a
            shift. False spans [-1, 1] from the first to the last cell, as the authors' code does,
            which pushes the border half a cell out of the map.

    Returns:
        (N, H, W, 2) in float32, or float64 if ``offset`` is float64: half precision cannot address
        the cells of a large map.
    """
    height, width = int(offset.shape[-2]), int(offset.shape[-1])
    dtype = torch.float64 if offset.dtype == torch.float64 else torch.float32
    # What is recorded, or computed without numbers, must not meet tensors of another call.
    passing = torch.jit.is_tracing() or torch.compiler.is_compiling() or is_fake(offset)
    build = _resting_grid.__wrapped__ if passing else _resting_grid
    grid, step = build(height, width, align_grid, dtype, offset.device)
    return torch.addcmul(grid, offset.to(dtype).permute(0, 2, 3, 1), step)


@functools.lru_cache(maxsize=64)
@torch.inference_mode(False)
def _resting_grid(
    height: int, width: int, align_grid: bool, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return the grid (H, W, 2) of zero offsets and the lengths (2,) of a step in x and y."""
    axes = []
    for size in (width, height):
        if align_grid:
            axis = (torch.arange(size, device=device, dtype=dtype) * 2 + 1) / size - 1
        else:
            axis = torch.linspace(-1.0, 1.0, size, device=device, dtype=dtype)
        axes.append(axis)
    y, x = torch.meshgrid(axes[1], axes[0], indexing="ij")
    step = torch.tensor([1 / width, 1 / height], dtype=dtype, device=device)
    return torch.stack((x, y), dim=-1), step


def offset_warp(
    source: Tensor, offset: Tensor, align_grid: bool = True, padding_mode: str = "border"
) -> Tensor:
    """Sample ``source`` bilinearly at every cell of ``offset``'s grid, moved by the offset.

    Args:
        source: (N, C, h, w) coarse map.
        offset: (N, 2, H, W) in the unit of :func:`build_sampling_grid`.
        align_grid: see :func:`build_sampling_grid`.
        padding_mode: "border" or "zeros", what lies outside ``source``.

    Returns:
        (N, C, H, W) in the dtype of ``source``.
    """
    grid = build_sampling_grid(offset, align_grid)
    with torch.autocast(source.device.type, enabled=False):
        sampled = _sample(source.to(grid.dtype), grid, padding_mode)
    return sampled.to(source.dtype)


def _sample(source: Tensor, grid: Tensor, padding_mode: str) -> Tensor:
    groups = _channel_groups(source)
    if groups == 1:
        return F.grid_sample(
            source, grid, mode="bilinear", padding_mode=padding_mode, align_corners=False
        )
    batch, channels, height, width = source.shape
    folded = source.reshape(batch * groups, channels // groups, height, width)
    spread = grid[:, None].expand(-1, groups, -1, -1, -1).flatten(0, 1)
    sampled = F.grid_sample(
        folded, spread, mode="bilinear", padding_mode=padding_mode, align_corners=False
    )
    return sampled.view(batch, channels, *sampled.shape[-2:])


def _channel_groups(source: Tensor) -> int:
    """Folds of the channels into the batch: the CPU kernel runs in parallel over the batch only."""
    batch, channels = source.shape[:2]
    recorded = torch.jit.is_tracing() or torch.compiler.is_compiling()
    if source.device.type != "cpu" or batch == 0 or recorded:
        return 1
    groups = 1
    while batch * groups < torch.get_num_threads() and channels % (groups * 2) == 0:
        groups *= 2
    return groups
