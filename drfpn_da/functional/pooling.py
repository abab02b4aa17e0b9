"""Adaptive average pooling that exports, and that leaves out the padding of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

#: (height, width) in cells of the part of each map that lies on its picture, at the top left.
Cells = Sequence[tuple[int, int]]


def adaptive_average_matrix(size: int, bins: int) -> Tensor:
    """Return the (bins, size) matrix whose product averages each of ``bins`` adaptive intervals.

    Interval i covers floor(i * size / bins) to ceil((i + 1) * size / bins), exclusive.
    """
    return torch.from_numpy(_average_weights([size], size, bins)[0]).float()


def pool_adaptive_average(x: Tensor, bins: int, cells: Optional[Cells] = None) -> Tensor:
    """Average (N, C, H, W) over ``bins`` x ``bins`` adaptive cells, to (N, C, bins, bins).

    While a graph is traced it is written as two matrix products, because the ONNX exporter refuses
    adaptive pooling whose output size does not divide the input size. So it is with ``cells``: what
    is averaged is a rectangle, hence weights of rows and of columns will do, no masked copy.

    Args:
        x: maps.
        bins: of each side.
        cells: the part of each map that is divided into bins; None: all of it.
    """
    if cells is None and not torch.jit.is_tracing():
        return F.adaptive_avg_pool2d(x, bins)
    channels, height, width = (int(size) for size in x.shape[1:])
    cells = [(height, width)] if cells is None else cells
    rows = _like(_average_weights([h for h, _ in cells], height, bins), x)
    columns = _like(_average_weights([w for _, w in cells], width, bins), x)
    # In the type of x under autocast too, as the pooling that this replaces.
    with torch.autocast(x.device.type, enabled=False):
        narrow = (x.flatten(1, 2) @ columns.transpose(1, 2)).unflatten(1, (channels, height))
        return rows[:, None] @ narrow


def spread_nearest(x: Tensor, size: tuple[int, int], cells: Optional[Cells] = None) -> Tensor:
    """Enlarge (N, C, h, w) to (N, C, H, W), each cell repeated (nearest neighbour).

    Args:
        x: maps.
        size: (H, W).
        cells: the part of each result that the map is spread over; beyond it the last row and
            column repeat. None: all of it.
    """
    if cells is None:
        return F.interpolate(x, size=size, mode="nearest")
    rows = _like(_nearest_weights([h for h, _ in cells], size[0], x.shape[-2]), x)
    columns = _like(_nearest_weights([w for _, w in cells], size[1], x.shape[-1]), x)
    with torch.autocast(x.device.type, enabled=False):
        return rows[:, None].transpose(2, 3) @ (x @ columns[:, None])


def _average_weights(lengths: Sequence[int], full: int, bins: int) -> np.ndarray:
    """Return (N, bins, full) weights that average adaptive bins of the first cells of a line."""
    length, number = np.array(lengths)[:, None], np.arange(bins)
    start, end = number * length // bins, -(-(number + 1) * length // bins)
    place = np.arange(full)
    within = (place >= start[..., None]) & (place < end[..., None])
    return within / (end - start)[..., None]


def _nearest_weights(lengths: Sequence[int], full: int, bins: int) -> np.ndarray:
    """Return (N, bins, full) weights, 1 where a cell shows a bin, as torch chooses it."""
    share = np.float32(bins) / np.array(lengths, dtype=np.float32)[:, None]
    shown = np.minimum(np.floor(np.arange(full, dtype=np.float32) * share), bins - 1)
    return shown[:, None] == np.arange(bins)[:, None]


def _like(weights: np.ndarray, x: Tensor) -> Tensor:
    """Return weights of the type and on the device of ``x``; the GPU is not waited for."""
    tensor = torch.from_numpy(weights).to(x.dtype)
    if not x.is_cuda:
        return tensor.to(x.device)
    return tensor.pin_memory().to(x.device, non_blocking=True)
