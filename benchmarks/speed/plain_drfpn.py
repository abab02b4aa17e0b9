"""DRFPN written straight from its formulas, to measure each optimisation against."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

import drfpn_da.layers.srb as srb_module
from drfpn_da.functional import warp
from drfpn_da.layers import ChannelRefinementBlock, PyramidPooling, SpatialRefinementBlock

Step = tuple[object, str, Callable]


def _pool_by_concatenation(self: PyramidPooling, x: Tensor, cells: None) -> Tensor:
    reduced = self.reduce(x)
    maps = [
        F.interpolate(
            getattr(self, f"pool{i}")(F.adaptive_avg_pool2d(reduced, size)), size=x.shape[-2:]
        )
        for i, size in enumerate(self.sizes)
    ]
    return F.relu(self.bottleneck(torch.cat([*maps, reduced], dim=1)))


def _merge_in_passes(self: SpatialRefinementBlock, low: Tensor, high: Tensor) -> Tensor:
    offset, weight = self.predict(low, high)
    warped = srb_module.offset_warp(high, offset, self.align_grid, self.padding_mode)
    return low + (warped * weight + F.interpolate(high, size=low.shape[-2:], mode="nearest"))


def _refine_in_passes(
    self: ChannelRefinementBlock, supervisor: Tensor, x: Tensor, down: Tensor, *cells: None
) -> Tensor:
    gate = self.gate_act(self.gate(F.adaptive_avg_pool2d(supervisor, 1)))
    refined = torch.relu(self.input(x)) * gate
    return down + (refined + x if self.residual else refined)


def _grid_on_host(offset: Tensor, align_grid: bool = True) -> Tensor:
    height, width = offset.shape[-2:]
    ends = (1 - 1 / width, 1 - 1 / height) if align_grid else (1.0, 1.0)
    x = torch.linspace(-ends[0], ends[0], width).repeat(height, 1)
    y = torch.linspace(-ends[1], ends[1], height).view(-1, 1).repeat(1, width)
    grid = torch.stack((x, y), dim=-1).repeat(len(offset), 1, 1, 1).to(offset)
    return grid + offset.permute(0, 2, 3, 1) / torch.tensor([width, height]).to(offset)


def _convolve(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return F.conv2d(x, weight, bias, padding=1)


STEPS: dict[str, Sequence[Step]] = {
    "pooling after the bottleneck": [(PyramidPooling, "forward", _pool_by_concatenation)],
    "fused SRB sum": [(SpatialRefinementBlock, "merge", _merge_in_passes)],
    "convolution by taps (CPU)": [(srb_module, "conv3x3_to_few", _convolve)],
    "fused CRB sum": [(ChannelRefinementBlock, "forward", _refine_in_passes)],
    "grid on the device": [(warp, "build_sampling_grid", _grid_on_host)],
    "channel folding (CPU)": [(warp, "_channel_groups", lambda source: 1)],
}


class without:
    """Context in which the named optimisations (default: all) give way to plain formulas."""

    def __init__(self, *names: str) -> None:
        self.steps = [step for name in names or STEPS for step in STEPS[name]]

    def __enter__(self) -> None:
        self.saved = [(owner, name, getattr(owner, name)) for owner, name, _ in self.steps]
        for owner, name, plain in self.steps:
            setattr(owner, name, plain)

    def __exit__(self, *error: object) -> None:
        for owner, name, fast in self.saved:
            setattr(owner, name, fast)
