"""Adaptive average pooling that exports."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def adaptive_average_matrix(size: int, bins: int) -> Tensor:
    """Return the (bins, size) matrix whose product averages each of ``bins`` adaptive intervals.

    Interval i covers floor(i * size / bins) to ceil((i + 1) * size / bins), exclusive.
    """
    matrix = torch.zeros(bins, size)
    for i in range(bins):
        start, end = i * size // bins, -(-(i + 1) * size // bins)
        matrix[i, start:end] = 1.0 / (end - start)
    return matrix


def pool_adaptive_average(x: Tensor, bins: int) -> Tensor:
    """Average (N, C, H, W) over ``bins`` x ``bins`` adaptive cells, to (N, C, bins, bins).

    While a graph is traced it is written as two matrix products, because the ONNX exporter refuses
    adaptive pooling whose output size does not divide the input size.
    """
    if not torch.jit.is_tracing():
        return F.adaptive_avg_pool2d(x, bins)
    rows = adaptive_average_matrix(int(x.shape[-2]), bins).to(x)
    columns = adaptive_average_matrix(int(x.shape[-1]), bins).to(x)
    return rows @ x @ columns.t()
