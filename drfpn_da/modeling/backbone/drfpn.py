"""DRFPN: feature pyramid with dual refinement (Ma & Chen, arXiv 2012.01733)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Optional

import torch.nn.functional as F
from detectron2.layers import Conv2d, ShapeSpec
from detectron2.modeling.backbone import Backbone
from detectron2.modeling.backbone.fpn import LastLevelP6P7 as _LastLevelP6P7
from fvcore.nn import weight_init
from torch import Tensor, nn

from ...functional.domain import picture_cells
from ...functional.pooling import Cells
from ...layers import ChannelRefinementBlock, PyramidPooling, SpatialRefinementBlock
from ...layers.norm import build_norm
from .picture_sizes import note_picture_sizes, noted_picture_sizes

# What the authors' code does where this module's defaults differ.
AUTHORS_SRB = {"align_grid": False, "padding_mode": "zeros", "weight_act": "none"}
AUTHORS_CRB = {"norm": "BN", "gate_norm": "BN", "gate_act": "relu", "residual": False}


class DRFPNNeck(nn.Module):
    """Turn bottom-up feature maps into a pyramid whose levels refine each other.

    Top-down, each coarse map is refined by a :class:`SpatialRefinementBlock` before it is added to
    the finer lateral; bottom-up (as in PAFPN, arXiv 1803.01534), each level is refined by a
    :class:`ChannelRefinementBlock` under the finer one. The top lateral is a
    :class:`PyramidPooling`. With all four parts off it is detectron2's FPN, output for output and
    name for name; with the bottom-up path alone it is PAFPN.

    Args:
        input_shape: channels and stride of every feature in ``in_features``.
        in_features: names from high to low resolution, each of twice the stride of the one before.
        out_channels: channels of every level.
        norm: norm of the lateral, output, downsample and pa_output convolutions.
        top_block: module with ``num_levels`` and ``in_feature`` (the name of a level or of an
            input) that adds levels on top, as in detectron2's FPN.
        fuse_type: "sum" or "avg" of lateral and top-down maps.
        ppm, srb, crb: keyword arguments of the three blocks; None switches a block off.
        bottom_up_path: add the bottom-up path. The CRB needs it.
        init: "identity" lets every refinement start as what FPN does in its place, so that training
            starts from an FPN; "c2_xavier" (detectron2's) and "xavier" (the authors') start all
            convolutions at random.
        authors_compat: restore the authors' choices (``AUTHORS_SRB``, ``AUTHORS_CRB``, init
            "xavier", no ReLU in a :class:`LastLevelP6P7` on a bottom-up feature, means over the
            padding too).
        mask_padding: leave the padding of a batch out of the means of PPM and CRB, where the sizes
            of its pictures are known.

    Raises:
        ValueError: strides that do not double, or options that contradict each other, or a top
            block that ``authors_compat`` cannot change.
    """

    def __init__(
        self,
        input_shape: Mapping[str, ShapeSpec],
        in_features: Sequence[str],
        out_channels: int,
        norm: str = "",
        top_block: Optional[nn.Module] = None,
        fuse_type: str = "sum",
        *,
        ppm: Optional[Mapping[str, Any]] = {},
        srb: Optional[Mapping[str, Any]] = {},
        crb: Optional[Mapping[str, Any]] = {},
        bottom_up_path: bool = True,
        init: str = "identity",
        authors_compat: bool = False,
        mask_padding: bool = True,
    ) -> None:
        super().__init__()
        strides = _check_strides(input_shape, in_features)
        if crb is not None and not bottom_up_path:
            raise ValueError(
                "the CRB refines the bottom-up path: switch MODEL.DRFPN.CRB.ENABLED off (crb=None) "
                "or MODEL.DRFPN.BOTTOM_UP_PATH on"
            )
        if fuse_type not in ("sum", "avg"):
            raise ValueError(f"fuse_type {fuse_type!r} is neither 'sum' nor 'avg'")
        if authors_compat:
            srb = None if srb is None else {**srb, **AUTHORS_SRB}
            crb = None if crb is None else {**crb, **AUTHORS_CRB}
            init = "xavier"
        self.in_features = tuple(in_features)
        self.fuse_type = fuse_type
        self.mask_padding = mask_padding and not authors_compat
        self.stages = [int(math.log2(s)) for s in strides]

        def conv(channels: int, kernel: int, stride: int = 1) -> Conv2d:
            layer = build_norm(norm, out_channels, "MODEL.DRFPN.NORM")
            bias = layer is None
            return Conv2d(
                channels,
                out_channels,
                kernel,
                stride=stride,
                padding=kernel // 2,
                bias=bias,
                norm=layer,
            )

        top = self.stages[-1]
        for stage, feature in zip(self.stages, self.in_features):
            channels = _channels(input_shape[feature])
            if stage < top or ppm is None:
                self.add_module(f"fpn_lateral{stage}", conv(channels, 1))
            self.add_module(f"fpn_output{stage}", conv(out_channels, 3))
            if stage < top and srb is not None:
                self.add_module(f"srb{stage}", SpatialRefinementBlock(out_channels, **srb))
            if stage > self.stages[0] and bottom_up_path:
                self.add_module(f"downsample{stage}", conv(out_channels, 3, stride=2))
                self.add_module(f"pa_output{stage}", conv(out_channels, 3))
                if crb is not None:
                    self.add_module(f"crb{stage}", ChannelRefinementBlock(out_channels, **crb))
        self.ppm = None
        if ppm is not None:
            channels = _channels(input_shape[self.in_features[-1]])
            self.ppm = PyramidPooling(channels, out_channels, **ppm)
        self.bottom_up_path = bottom_up_path
        self._has_srb, self._has_crb = srb is not None, crb is not None
        self._init_weights(init)
        self.top_block = top_block
        if top_block is not None and authors_compat:
            _fill(top_block, "xavier")
            if top_block.in_feature in input_shape:
                _leave_out_relu(top_block)

        extra = 0 if top_block is None else top_block.num_levels
        self.out_strides = {f"p{s}": 2**s for s in range(self.stages[0], top + extra + 1)}
        self.out_channels = out_channels

    def _init_weights(self, init: str) -> None:
        if init != "identity":
            _fill(self, init)
            return
        _fill(self, "c2_xavier")
        for name, module in self.named_children():
            if hasattr(module, "init_identity"):
                module.init_identity()
            elif name.startswith("downsample"):
                nn.init.zeros_(module.weight)
            elif name.startswith("pa_output"):
                nn.init.dirac_(module.weight)

    def forward(
        self,
        features: Mapping[str, Tensor],
        image_sizes: Optional[Sequence[tuple[int, int]]] = None,
    ) -> dict[str, Tensor]:
        """Map bottom-up features (N, C_l, H_l, W_l) to ``{"p<l>": (N, out_channels, H_l, W_l)}``.

        Sizes may be odd: a level is ceil(half) of the finer one.

        Args:
            features: by name.
            image_sizes: (height, width) in pixels of each picture of the batch, which may be
                smaller than the batch; None: not known.
        """
        inputs = [features[f] for f in self.in_features]
        cells: list[Optional[Cells]] = [None] * len(inputs)
        if image_sizes is not None and self.mask_padding:
            cells = [picture_cells(image_sizes, 2**s, x) for s, x in zip(self.stages, inputs)]
        levels = self._top_down(inputs, cells[-1])
        levels = [getattr(self, f"fpn_output{s}")(x) for s, x in zip(self.stages, levels)]
        if self.bottom_up_path:
            levels = self._bottom_up(levels, cells)
        outputs = {f"p{s}": x for s, x in zip(self.stages, levels)}
        if self.top_block is not None:
            name = self.top_block.in_feature
            source = outputs[name] if name in outputs else features[name]
            extra = self.top_block(source)
            outputs.update({f"p{self.stages[-1] + 1 + i}": x for i, x in enumerate(extra)})
        return outputs

    def _top_down(self, inputs: list[Tensor], cells: Optional[Cells]) -> list[Tensor]:
        if self.ppm is not None:
            merged = [self.ppm(inputs[-1], cells)]
        else:
            merged = [getattr(self, f"fpn_lateral{self.stages[-1]}")(inputs[-1])]
        for stage, x in zip(self.stages[-2::-1], inputs[-2::-1]):
            lateral = getattr(self, f"fpn_lateral{stage}")(x)
            if self._has_srb:
                fused = getattr(self, f"srb{stage}").merge(lateral, merged[0])
            else:  # as FPN does it, so that gradients too are the same to the bit
                fused = lateral + F.interpolate(merged[0], size=lateral.shape[-2:], mode="nearest")
            merged.insert(0, fused / 2 if self.fuse_type == "avg" else fused)
        return merged

    def _bottom_up(self, levels: list[Tensor], cells: list[Optional[Cells]]) -> list[Tensor]:
        refined = [levels[0]]
        for i, (stage, x) in enumerate(zip(self.stages[1:], levels[1:])):
            finer = refined[-1]
            down = getattr(self, f"downsample{stage}")(finer)
            refined.append(
                getattr(self, f"crb{stage}")(finer, x, down, cells[i], cells[i + 1])
                if self._has_crb
                else down + x
            )
        outputs = [getattr(self, f"pa_output{s}")(x) for s, x in zip(self.stages[1:], refined[1:])]
        return [refined[0], *outputs]


class DRFPN(DRFPNNeck, Backbone):
    """A bottom-up network with a :class:`DRFPNNeck` on it; drop-in for ``detectron2.modeling.FPN``.

    Takes every argument of ``FPN`` and those of the neck, so a LazyConfig only swaps ``_target_``.
    Parameters are named as in FPN (``bottom_up``, ``fpn_lateral<l>``, ``fpn_output<l>``,
    ``top_block``), so FPN checkpoints load into what the two share.

    Args:
        bottom_up: any detectron2 backbone: ResNet, Swin, SimpleFeaturePyramid over ViT, timm,
            MobileNetV2.
        square_pad: if > 0, images must be padded to this square size.
        in_features, out_channels, norm, top_block, fuse_type, **refinement: see :class:`DRFPNNeck`.
    """

    def __init__(
        self,
        bottom_up: Backbone,
        in_features: Sequence[str],
        out_channels: int,
        norm: str = "",
        top_block: Optional[nn.Module] = None,
        fuse_type: str = "sum",
        square_pad: int = 0,
        **refinement: Any,
    ) -> None:
        shapes = bottom_up.output_shape()
        super().__init__(
            shapes, in_features, out_channels, norm, top_block, fuse_type, **refinement
        )
        self.bottom_up = bottom_up
        note_picture_sizes()
        self._square_pad = square_pad
        self._out_features = list(self.out_strides)
        self._out_feature_strides = dict(self.out_strides)
        self._out_feature_channels = dict.fromkeys(self._out_features, out_channels)
        self._size_divisibility = max(
            2 ** self.stages[-1], getattr(bottom_up, "size_divisibility", 0)
        )

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        note_picture_sizes()

    def forward(
        self, x: Tensor, image_sizes: Optional[Sequence[tuple[int, int]]] = None
    ) -> dict[str, Tensor]:
        """Map images (N, 3, H, W) to ``{"p2": (N, out_channels, H / 4, W / 4), ...}``.

        Args:
            x: a batch.
            image_sizes: (height, width) of each picture without padding; None: those of the
                ``ImageList`` that ``x`` is of, if it is.
        """
        if image_sizes is None:
            image_sizes = noted_picture_sizes(x)
        return super().forward(self.bottom_up(x), image_sizes)

    @property
    def size_divisibility(self) -> int:
        """Images are padded to a multiple of this: the stride of the last input, as FPN does."""
        return self._size_divisibility

    @property
    def padding_constraints(self) -> dict[str, int]:
        """Square padding if asked for here, else what the bottom-up network (a ViT) asks for."""
        if self._square_pad > 0:
            return {"square_size": self._square_pad}
        return dict(getattr(self.bottom_up, "padding_constraints", {}))


def _leave_out_relu(top_block: nn.Module) -> None:
    """Make a P6/P7 block on a bottom-up feature that of the authors' RetinaNet."""
    if isinstance(top_block, LastLevelP6P7):
        top_block.relu = False
    elif isinstance(top_block, _LastLevelP6P7):
        raise ValueError(
            "authors_compat leaves out the ReLU between p6 and p7 on a bottom-up feature, which "
            "detectron2's LastLevelP6P7 cannot: use drfpn_da.modeling.LastLevelP6P7"
        )


class LastLevelP6P7(_LastLevelP6P7):
    """P6 and P7, where the ReLU between them can be left out (the authors' RetinaNet)."""

    def __init__(
        self, in_channels: int, out_channels: int, in_feature: str = "res5", relu: bool = True
    ) -> None:
        super().__init__(in_channels, out_channels, in_feature)
        self.relu = relu

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map (N, in_channels, H, W) to P6 and P7, at half and a quarter of the size."""
        p6 = self.p6(x)
        return [p6, self.p7(F.relu(p6) if self.relu else p6)]


def _xavier_fill(module: nn.Module) -> None:
    nn.init.xavier_uniform_(module.weight)
    if module.bias is not None:
        nn.init.zeros_(module.bias)


_FILLS = {"c2_xavier": weight_init.c2_xavier_fill, "xavier": _xavier_fill}


def _fill(root: nn.Module, init: str) -> None:
    if init not in _FILLS:
        raise ValueError(f"MODEL.DRFPN.INIT {init!r} is none of {['identity', *_FILLS]}")
    for module in root.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            _FILLS[init](module)


def _channels(shape: ShapeSpec) -> int:
    assert shape.channels is not None
    return shape.channels


def _check_strides(input_shape: Mapping[str, ShapeSpec], in_features: Sequence[str]) -> list[int]:
    known = {name: shape.stride for name, shape in input_shape.items()}
    missing = [f for f in in_features if f not in known]
    if missing or not in_features:
        raise ValueError(
            f"MODEL.DRFPN.IN_FEATURES {list(in_features)}: the bottom-up network gives {known}"
        )
    strides = [known[f] for f in in_features]
    consecutive = (
        all(b == 2 * a for a, b in zip(strides, strides[1:])) and math.log2(strides[0]).is_integer()
    )
    if not consecutive:
        raise ValueError(
            f"MODEL.DRFPN.IN_FEATURES {list(in_features)} have strides {strides}; "
            f"each must be twice the one before (the bottom-up network gives {known})"
        )
    return strides
