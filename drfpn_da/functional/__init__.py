"""Pure functions on tensors; they import torch only."""

from .conv import conv3x3_to_few
from .pooling import adaptive_average_matrix, pool_adaptive_average
from .upsample import add_upsampled
from .warp import build_sampling_grid, offset_warp

__all__ = [
    "adaptive_average_matrix",
    "add_upsampled",
    "build_sampling_grid",
    "conv3x3_to_few",
    "offset_warp",
    "pool_adaptive_average",
]
