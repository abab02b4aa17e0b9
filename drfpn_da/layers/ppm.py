"""Pyramid pooling: the top of DRFPN (arXiv 2012.01733), as in PSPNet (arXiv 1612.01105)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

import torch.nn.functional as F
from detectron2.layers import Conv2d
from torch import Tensor, nn

from ..functional import pool_adaptive_average
from ..functional.pooling import Cells, spread_nearest
from .masked import conv_on_pictures, norm_on_pictures
from .norm import build_norm


class PyramidPooling(nn.Module):
    """Reduce channels and mix in pooled context: (N, in, H, W) -> (N, out, H, W).

    The definition is ``ReLU(bottleneck(concat(up(pool_1), ..., up(pool_k), reduced)))`` with 1x1
    convolutions and nearest up-sampling. A 1x1 convolution commutes with nearest up-sampling, so
    each share of the bottleneck is applied to the small pooled map, which costs 1 / (k + 1) and
    needs no concatenation.

    Args:
        in_channels: channels of the top bottom-up map.
        out_channels: channels of the pyramid.
        sizes: side of each adaptive average pool, in cells.
        norm: norm of every convolution; "" for none, as in the paper.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        sizes: Sequence[int] = (1, 2, 3, 6),
        norm: str = "",
    ) -> None:
        super().__init__()
        if not sizes or min(sizes) < 1:
            raise ValueError(f"MODEL.DRFPN.PPM.SIZES must be positive, not {list(sizes)}")
        self.sizes = tuple(sizes)

        def build(channels: int, bias: bool) -> Conv2d:
            layer = build_norm(norm, out_channels, "MODEL.DRFPN.PPM.NORM")
            return Conv2d(channels, out_channels, 1, bias=bias and layer is None, norm=layer)

        self.reduce = build(in_channels, True)
        for i in range(len(self.sizes)):
            self.add_module(f"pool{i}", build(out_channels, False))
        self.bottleneck = build(out_channels * (len(self.sizes) + 1), True)

    def init_identity(self) -> None:
        """Let the bottleneck pass the reduced map and ignore the pools, until it is trained."""
        nn.init.zeros_(self.bottleneck.weight)
        nn.init.dirac_(self.bottleneck.weight.data.chunk(len(self.sizes) + 1, dim=1)[-1])

    def forward(self, x: Tensor, cells: Optional[Cells] = None) -> Tensor:
        """Map (N, in_channels, H, W) to the top lateral, which is never negative.

        Args:
            x: top bottom-up map.
            cells: (height, width) in cells of each picture, which alone is pooled; None: no
                padding.
        """
        reduced = conv_on_pictures(self.reduce, x, cells)
        *shares, own = self.bottleneck.weight.chunk(len(self.sizes) + 1, dim=1)
        mixed = F.conv2d(reduced, own, self.bottleneck.bias)
        whole = (reduced.shape[-2], reduced.shape[-1])
        for i, (size, share) in enumerate(zip(self.sizes, shares)):
            pooled = getattr(self, f"pool{i}")(pool_adaptive_average(reduced, size, cells))
            mixed = mixed + spread_nearest(F.conv2d(pooled, share), whole, cells)
        if self.bottleneck.norm is not None:
            mixed = norm_on_pictures(self.bottleneck.norm, mixed, cells)
        return F.relu(mixed)
