"""VGG16 (Simonyan and Zisserman, arXiv 1409.1556): body, and box head of its linear layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import fvcore.nn.weight_init as weight_init
from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY
from detectron2.modeling.backbone import Backbone
from detectron2.modeling.roi_heads import ROI_BOX_HEAD_REGISTRY
from torch import Tensor, nn

from ...compat import register_if_free

# (channels, convolutions) of the blocks; a pooling layer ends each.
_BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))


class VGG16(Backbone):
    """VGG16 without its last pooling layer; parameters named as in torchvision.

    The layers are those of ``torchvision.models.vgg16().features``, so that ImageNet weights in its
    names, torchvision's or those converted from Caffe, load by suffix matching.

    Args:
        out_features: names of convolutions, "conv1_1" to "conv5_3"; the output is that of the ReLU
            behind. "conv3_2" has 256 channels at stride 4, "conv5_3" 512 at stride 16.
        freeze_at: the first so many blocks are not trained; 2 is published for detection.

    Raises:
        ValueError: an unknown feature, or not 0 to 5 blocks to freeze.
    """

    @configurable
    def __init__(self, out_features: Sequence[str] = ("conv5_3",), freeze_at: int = 2) -> None:
        super().__init__()
        if not 0 <= freeze_at <= len(_BLOCKS):
            raise ValueError(f"MODEL.BACKBONE.FREEZE_AT is {freeze_at}; VGG16 has 5 blocks")
        layers: list[nn.Module] = []
        shapes: dict[str, ShapeSpec] = {}
        self._name_of_layer: dict[int, str] = {}
        channels = 3
        for block, (width, count) in enumerate(_BLOCKS, start=1):
            for number in range(1, count + 1):
                conv = nn.Conv2d(channels, width, 3, padding=1)
                weight_init.c2_msra_fill(conv)
                conv.requires_grad_(block > freeze_at)
                layers += [conv, nn.ReLU(inplace=True)]
                channels = width
                name = f"conv{block}_{number}"
                shapes[name] = ShapeSpec(channels=width, stride=2 ** (block - 1))
                self._name_of_layer[len(layers) - 1] = name
            layers.append(nn.MaxPool2d(2))
        unknown = [name for name in out_features if name not in shapes]
        if unknown or not out_features:
            raise ValueError(
                f"MODEL.VGG16.OUT_FEATURES {list(out_features)}: known are {list(shapes)}"
            )
        last = max(i for i, name in self._name_of_layer.items() if name in out_features)
        self.features = nn.Sequential(*layers[: last + 1])
        self._out_features = [name for name in shapes if name in out_features]
        self._out_feature_channels = {f: shapes[f].channels for f in self._out_features}
        self._out_feature_strides = {f: shapes[f].stride for f in self._out_features}

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: ShapeSpec) -> dict[str, Any]:
        """Read ``MODEL.VGG16.OUT_FEATURES`` and ``MODEL.BACKBONE.FREEZE_AT``."""
        return {
            "out_features": cfg.MODEL.VGG16.OUT_FEATURES,
            "freeze_at": cfg.MODEL.BACKBONE.FREEZE_AT,
        }

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Map pictures (N, 3, H, W) to ``{"conv5_3": (N, 512, H // 16, W // 16), ...}``."""
        outputs = {}
        for i, layer in enumerate(self.features):
            x = layer(x)
            name = self._name_of_layer.get(i)
            if name in self._out_features:
                outputs[name] = x
        return outputs


@register_if_free(BACKBONE_REGISTRY)
def build_vgg16_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> VGG16:
    """VGG16 from ``MODEL.VGG16``."""
    return VGG16(cfg, input_shape)


@register_if_free(ROI_BOX_HEAD_REGISTRY)
class VGG16BoxHead(nn.Module):
    """Box head of VGG16's fc6 and fc7, named as in torchvision, with ReLU and dropout after each.

    Args:
        input_shape: pooled features; (512, 7, 7) fits ImageNet weights.
        width: outputs of both layers; 4096 fits ImageNet weights.
        dropout: share of outputs that are dropped in training.
    """

    @configurable
    def __init__(self, input_shape: ShapeSpec, *, width: int = 4096, dropout: float = 0.5) -> None:
        super().__init__()
        inputs = input_shape.channels * (input_shape.height or 1) * (input_shape.width or 1)
        self.classifier = nn.Sequential(
            nn.Linear(inputs, width),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(width, width),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
        )
        for layer in (self.classifier[0], self.classifier[3]):
            weight_init.c2_xavier_fill(layer)
        self._width = width

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: ShapeSpec) -> dict[str, Any]:
        """Read ``MODEL.ROI_BOX_HEAD.FC_DIM`` and ``MODEL.VGG16.DROPOUT``."""
        return {
            "input_shape": input_shape,
            "width": cfg.MODEL.ROI_BOX_HEAD.FC_DIM,
            "dropout": cfg.MODEL.VGG16.DROPOUT,
        }

    def forward(self, x: Tensor) -> Tensor:
        """Map pooled features (R, C, H, W) to (R, width)."""
        return self.classifier(x.flatten(start_dim=1))

    @property
    def output_shape(self) -> ShapeSpec:
        """Shape of the output."""
        return ShapeSpec(channels=self._width)
