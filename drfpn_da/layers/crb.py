"""Channel refinement block of DRFPN (arXiv 2012.01733, section 3.2)."""

from __future__ import annotations

from typing import Optional

import torch
from detectron2.layers import Conv2d
from torch import Tensor, nn

from ..functional import pool_adaptive_average
from ..functional.pooling import Cells
from .masked import conv_on_pictures
from .norm import build_norm

_CLOSED_GATE = -3.0  # sigmoid: 0.047
_GATE_ACTIVATIONS = {"sigmoid": nn.Sigmoid, "relu": nn.ReLU}


class ChannelRefinementBlock(nn.Module):
    """Gate the channels of a coarse map by the globally averaged finer one.

    ``out = ReLU(norm(conv3x3(x))) * act(gate_norm(conv1x1(mean(supervisor))))``, plus ``x`` if
    ``residual``.

    Args:
        channels: channels of both maps and of the result.
        norm: norm after the 3x3 convolution.
        gate_norm: norm after the 1x1 convolution. It sees one value per channel and image: batch
            norms fail on a batch of one there.
        gate_act: "sigmoid", or "relu" as the authors have it (unbounded, and zero for many
            channels).
        residual: add ``x`` itself, which the paper's block replaces.
    """

    def __init__(
        self,
        channels: int,
        norm: str = "GN",
        gate_norm: str = "",
        gate_act: str = "sigmoid",
        residual: bool = True,
    ) -> None:
        super().__init__()
        if gate_act not in _GATE_ACTIVATIONS:
            raise ValueError(
                f"MODEL.DRFPN.CRB.GATE_ACT {gate_act!r} is none of {sorted(_GATE_ACTIVATIONS)}"
            )
        self.residual = residual
        self.input = Conv2d(
            channels,
            channels,
            3,
            padding=1,
            bias=not norm,
            norm=build_norm(norm, channels, "MODEL.DRFPN.CRB.NORM"),
        )
        self.gate = Conv2d(
            channels,
            channels,
            1,
            bias=not gate_norm,
            norm=build_norm(gate_norm, channels, "MODEL.DRFPN.CRB.GATE_NORM"),
        )
        self.gate_act = _GATE_ACTIVATIONS[gate_act]()

    def init_identity(self) -> None:
        """Nearly close a sigmoid gate, so that with ``residual`` the block starts as a sum.

        Not wholly, and not by zero weights, which would leave the ReLU before the gate without a
        gradient.
        """
        if isinstance(self.gate_act, nn.Sigmoid) and self.gate.bias is not None:
            nn.init.constant_(self.gate.bias, _CLOSED_GATE)

    def forward(
        self,
        supervisor: Tensor,
        x: Tensor,
        downsampled: Tensor,
        supervisor_cells: Optional[Cells] = None,
        cells: Optional[Cells] = None,
    ) -> Tensor:
        """Return the refined map plus ``downsampled``.

        Args:
            supervisor: (N, C, 2H or 2H - 1, 2W or 2W - 1), the finer map.
            x: (N, C, H, W), the coarse map.
            downsampled: (N, C, H, W), the strided convolution of the finer map.
            supervisor_cells: (height, width) in cells of ``supervisor`` of each picture, which
                alone is averaged; None: no padding.
            cells: in those of ``x``, for the statistics of a group norm.

        Raises:
            ValueError: a batch norm on the gate meets a training batch of one.
        """
        if self.training and len(x) == 1 and isinstance(self.gate.norm, nn.BatchNorm2d):
            raise ValueError(
                "the CRB gate norm is a BatchNorm, which cannot train on one image per process: "
                "set MODEL.DRFPN.CRB.GATE_NORM to '' or 'GN' (and AUTHORS_COMPAT False), "
                "or raise SOLVER.IMS_PER_BATCH"
            )
        if supervisor_cells is None:
            mean = supervisor.mean((2, 3), keepdim=True)
        else:
            mean = pool_adaptive_average(supervisor, 1, supervisor_cells)
        gate = self.gate_act(self.gate(mean))
        refined = torch.relu(conv_on_pictures(self.input, x, cells))
        base = downsampled + x if self.residual else downsampled
        return torch.addcmul(base, refined, gate)
