"""Pure functions on tensors; they import torch only."""

from .pooling import adaptive_average_matrix, pool_adaptive_average
from .warp import build_sampling_grid, offset_warp

__all__ = ["adaptive_average_matrix", "build_sampling_grid", "offset_warp", "pool_adaptive_average"]
