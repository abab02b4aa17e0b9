"""Adaptive average pooling that exports, and that leaves out the padding of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Callable, Optional

import torch
import torch.nn.functional as F
from torch import Tensor

#: (height, width) in cells of the part of each map that lies on its picture, at the top left.
Cells = Sequence[tuple[int, int]]


def adaptive_average_matrix(size: int, bins: int) -> Tensor:
    """Return the (bins, size) matrix whose product averages each of ``bins`` adaptive intervals.

    Interval i covers floor(i * size / bins) to ceil((i + 1) * size / bins), exclusive.
    """
    return _average_weights(torch.tensor([size], device="cpu"), size, bins)[0].float()


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
    rows, columns = _weights(_average_weights, x, cells, (height, width), bins)
    # In the type of x under autocast too, as the pooling that this replaces.
    with torch.autocast(x.device.type, enabled=False):
        if x.is_contiguous(memory_format=torch.channels_last):
            by_row = x.permute(0, 2, 3, 1).flatten(2)
            low = (rows @ by_row).unflatten(2, (width, channels))
            pooled: Tensor = (columns[:, None] @ low).permute(0, 3, 1, 2)
        else:
            low = (x.flatten(1, 2) @ columns.transpose(1, 2)).unflatten(1, (channels, height))
            pooled = rows[:, None] @ low
    return pooled


def spread_nearest(x: Tensor, size: tuple[int, int], cells: Optional[Cells] = None) -> Tensor:
    """Enlarge (N, C, bins, bins) to (N, C, H, W), each cell repeated (nearest neighbour).

    Args:
        x: maps.
        size: (H, W).
        cells: the part of each result that the map is spread over; beyond it the last row and
            column repeat. None: all of it.
    """
    if cells is None:
        return F.interpolate(x, size=size, mode="nearest")
    rows, columns = _weights(_nearest_weights, x, cells, size, int(x.shape[-1]))
    with torch.autocast(x.device.type, enabled=False):
        return rows[:, None].transpose(2, 3) @ (x @ columns[:, None])


def _weights(
    build: Callable[[Tensor, int, int], Tensor],
    x: Tensor,
    cells: Cells,
    size: tuple[int, int],
    bins: int,
) -> tuple[Tensor, Tensor]:
    """Return weights of rows, (N, bins, H), and of columns, (N, bins, W); a GPU is not waited for.

    Args:
        build: from lengths (M,), a full length and bins to (M, bins, full length).
        x: whose type and device they have.
        cells: (height, width) of each picture, N of them or 1.
        size: (H, W).
        bins: of each side.
    """
    lengths = torch.tensor([h for h, _ in cells] + [w for _, w in cells], device="cpu")
    weights = build(lengths, max(size), bins).to(x.dtype)
    if x.is_cuda:
        weights = weights.pin_memory().to(x.device, non_blocking=True)
    rows, columns = weights.to(x.device).chunk(2)
    return rows[..., : size[0]], columns[..., : size[1]]


def _average_weights(lengths: Tensor, full: int, bins: int) -> Tensor:
    """Weights that average adaptive bins of the first ``lengths`` cells of a line."""
    number, place = torch.arange(bins, device="cpu"), torch.arange(full, device="cpu")
    ends = (number + 1) * lengths[:, None] + bins - 1
    start, end = number * lengths[:, None] // bins, ends // bins
    within = (place >= start[..., None]) & (place < end[..., None])
    return within.double() / (end - start)[..., None]


def _nearest_weights(lengths: Tensor, full: int, bins: int) -> Tensor:
    """1 where a cell of a line shows a bin, by the rule of torch, in the precision of torch."""
    number, place = torch.arange(bins, device="cpu"), torch.arange(full, device="cpu")
    # Two tensors: a number over a tensor is its reciprocal times the number, rounded twice.
    share = torch.tensor(float(bins), device="cpu") / lengths
    shown = (place.float() * share[:, None]).floor().clamp(max=bins - 1)
    return shown[:, None] == number[:, None]
