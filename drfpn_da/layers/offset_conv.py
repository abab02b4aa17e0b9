"""A convolution that samples where it is told."""

from __future__ import annotations

from torch import Tensor, nn
from torchvision.ops import deform_conv2d


class OffsetConv2d(nn.Conv2d):
    """``nn.Conv2d`` with the offsets of its samples as a second input (deformable, version 1).

    Parameters are named as those of the convolution, and zero offsets make it one, so that
    checkpoints of either load into the other. Runs on CPU and CUDA; under autocast in the type of
    its weights.
    """

    def forward(self, x: Tensor, offset: Tensor) -> Tensor:  # type: ignore[override]
        """Convolve.

        Args:
            x: (N, C, H, W).
            offset: (N, 2 * kernel area, H', W'), y and x of each sample in cells.
        """
        kind = self.weight.dtype
        result: Tensor = deform_conv2d(
            x.to(kind),
            offset.to(kind),
            self.weight,
            self.bias,
            stride=self.stride,  # type: ignore[arg-type]
            padding=self.padding,  # type: ignore[arg-type]
            dilation=self.dilation,  # type: ignore[arg-type]
        )
        return result
