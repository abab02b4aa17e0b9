"""A U-Net decoder over any backbone's features, for depth and for segmentation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from detectron2.config import CfgNode
from detectron2.layers import ASPP, ShapeSpec, get_norm
from torch import Tensor, nn
from torchvision.models.segmentation.deeplabv3 import ASPP as TorchvisionASPP

from ...node_arguments import arguments

Features = Mapping[str, Tensor]
PADDINGS = ("replicate", "reflect")


class UNetDecoder(nn.Module):
    """U-Net decoder with skip connections (monodepth2, arXiv 1806.01260, appendix).

    From the coarsest features each stage convolves, doubles the size (nearest neighbour), adds the
    features of that stride, if there are any, and convolves again, down to stride 1.

    Args:
        input_shape: channels and stride of each feature; strides are powers of two.
        channels: of the stages with stride 1, 2, 4, ...; coarser stages have the last number.
        aspp_dilations: replace the first convolution by an ASPP with these three dilations;
            empty: do not.
        aspp_dropout: after the ASPP.
        aspp_published: an ASPP as in the published code: torchvision's, with BatchNorm and ReLU
            everywhere, of the last feature alone; others of its stride join after it. In training
            it needs two pictures. False: detectron2's, with ``norm`` and ELU, of all features of
            that stride.
        norm: of all convolutions, as in detectron2; "": none.
        padding: what lies around a map: "replicate", its border, or "reflect" (published), the
            cells next to the border; that needs two rows and columns in the coarsest map.

    Attributes:
        strides: of the stages, in the order in which they run.
        widths: stride -> channels of that stage's output.

    Raises:
        ValueError: no features, a stride that is no power of two, an ASPP without three
            dilations, a published one without any, or another padding.
    """

    def __init__(
        self,
        input_shape: Mapping[str, ShapeSpec],
        *,
        channels: Sequence[int] = (16, 32, 64, 128, 256),
        aspp_dilations: Sequence[int] = (),
        aspp_dropout: float = 0.5,
        aspp_published: bool = False,
        norm: str = "",
        padding: str = "replicate",
    ) -> None:
        super().__init__()
        if padding not in PADDINGS:
            raise ValueError(f"MODEL.DEPTH.PADDING is '{padding}'; write one of {list(PADDINGS)}")
        self._names = _names_by_stride(input_shape)
        coarsest = max(self._names)
        self.strides = [2**k for k in reversed(range(coarsest.bit_length() - 1))]
        self.widths = {s: channels[min(s.bit_length(), len(channels)) - 1] for s in self.strides}
        skips = {
            stride: sum(input_shape[name].channels for name in names)
            for stride, names in self._names.items()
        }
        width = channels[-1]
        self._published, self._padding = aspp_published, padding
        names = self._names[coarsest]
        self._first = names[-1:] if aspp_published else names
        self._joined = [name for name in names if name not in self._first]
        inputs = sum(input_shape[name].channels or 0 for name in self._first)
        self.bottom: nn.Module
        if aspp_dilations or aspp_published:
            self.bottom = _aspp(inputs, width, aspp_dilations, aspp_dropout, norm, aspp_published)
        else:
            self.bottom = self._convolution(inputs, width, norm)
        if self._joined:
            more = sum(input_shape[name].channels or 0 for name in self._joined)
            self.join = self._convolution(width + more, width, norm)
        self.before, self.after = nn.ModuleDict(), nn.ModuleDict()
        for stride in self.strides:
            self.before[str(stride)] = self._convolution(width, self.widths[stride], norm)
            width = self.widths[stride]
            self.after[str(stride)] = self._convolution(width + skips.get(stride, 0), width, norm)

    def start(self, features: Features) -> Tensor:
        """Return the input of the first stage.

        Raises:
            ValueError: a map of one row or column, in which nothing can be reflected; a single
                picture for a published ASPP that trains.
        """
        x = self._gather(features, self._first)
        if self._padding == "reflect" and min(x.shape[-2:]) < 2:
            raise ValueError(
                f"MODEL.DEPTH.PADDING is 'reflect', but the coarsest map has only "
                f"{tuple(x.shape[-2:])} cells: use larger pictures (INPUT), or write replicate"
            )
        if self._published and self.training and len(x) < 2:
            raise ValueError(
                "MODEL.DEPTH.ASPP.PUBLISHED has a BatchNorm of one value for each picture, but a "
                "batch has a single one: give each process two pictures (SOLVER.IMS_PER_BATCH), or "
                "write False"
            )
        x = self.bottom(x)
        if self._joined:
            x = self.join(torch.cat([x, self._gather(features, self._joined)], dim=1))
        return x

    def advance(self, x: Tensor, features: Features, stride: int) -> Tensor:
        """Run the stage of a stride on the output of the one before."""
        x = self.before[str(stride)](x)
        if stride not in self._names:
            return self.after[str(stride)](F.interpolate(x, scale_factor=2.0))
        skip = self._gather(features, self._names[stride])
        # Not simply twice the size: a skip of odd size was rounded up.
        x = F.interpolate(x, size=skip.shape[-2:])
        return self.after[str(stride)](torch.cat([x, skip], dim=1))

    def plain_convolution(self, inputs: int, outputs: int, bias: bool = True) -> nn.Conv2d:
        """Return a 3x3 convolution that keeps the size."""
        # By default the border is repeated: a map one cell high has nothing to reflect.
        return nn.Conv2d(inputs, outputs, 3, padding=1, padding_mode=self._padding, bias=bias)

    def _convolution(self, inputs: int, outputs: int, norm: str) -> nn.Sequential:
        layers: list[nn.Module] = [self.plain_convolution(inputs, outputs, bias=not norm)]
        if norm:
            layers.append(get_norm(norm, outputs))
        return nn.Sequential(*layers, nn.ELU())

    def _gather(self, features: Features, names: Sequence[str]) -> Tensor:
        return torch.cat([features[name] for name in names], dim=1)


def _aspp(
    inputs: int,
    outputs: int,
    dilations: Sequence[int],
    dropout: float,
    norm: str,
    published: bool,
) -> nn.Module:
    if len(dilations) != 3:
        raise ValueError(f"MODEL.DEPTH.ASPP.DILATIONS {list(dilations)}: an ASPP has three")
    if not published:
        return ASPP(inputs, outputs, list(dilations), norm=norm, activation=F.elu, dropout=dropout)
    module = TorchvisionASPP(inputs, list(dilations), outputs)
    module.project[-1].p = dropout
    return module


def unet_arguments(cfg: CfgNode, input_shape: Mapping[str, ShapeSpec]) -> dict[str, Any]:
    """Read the arguments of :class:`UNetDecoder` from ``MODEL.DEPTH``.

    Raises:
        ValueError: the backbone lacks a feature of ``MODEL.DEPTH.IN_FEATURES``.
    """
    node = cfg.MODEL.DEPTH
    missing = [name for name in node.IN_FEATURES if name not in input_shape]
    if missing or not node.IN_FEATURES:
        raise ValueError(
            f"MODEL.DEPTH.IN_FEATURES {list(node.IN_FEATURES)}: the backbone gives "
            f"{sorted(input_shape)}"
        )
    return {
        "input_shape": {name: input_shape[name] for name in node.IN_FEATURES},
        **arguments(node, "channels", "aspp_dilations", "aspp_published"),
        **arguments(node, "norm", "padding"),
    }


def _names_by_stride(shapes: Mapping[str, ShapeSpec]) -> dict[int, list[str]]:
    names: dict[int, list[str]] = {}
    for name, shape in shapes.items():
        stride = shape.stride or 0
        if stride < 2 or stride & (stride - 1):
            raise ValueError(
                f"MODEL.DEPTH.IN_FEATURES: '{name}' has stride {stride}; "
                "the decoder needs powers of two from 2 on"
            )
        names.setdefault(stride, []).append(name)
    if not names:
        raise ValueError("the decoder needs at least one feature")
    return names
