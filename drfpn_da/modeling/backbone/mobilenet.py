"""MobileNetV2 (Sandler et al., arXiv 1801.04381) as a small pretrained body."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from detectron2.config import CfgNode, configurable
from detectron2.layers import FrozenBatchNorm2d, ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY
from detectron2.modeling.backbone import Backbone
from torch import Tensor, nn
from torchvision.models import mobilenet_v2

from ...compat import register_if_free
from ...layers.frozen_norm import fold_frozen_norms
from ...node_arguments import arguments

# Feature name -> (last block of torchvision's ``features`` at that stride, its channels, stride).
_STAGES = {"res2": (3, 24, 4), "res3": (6, 32, 8), "res4": (13, 96, 16), "res5": (17, 320, 32)}
_LAST_OF_STAGE = (1, *(last for last, _, _ in _STAGES.values()))  # the first: strides 1 and 2


class MobileNetV2(Backbone):
    """MobileNetV2 of torchvision without its classifier, parameters named as there.

    Args:
        out_features: names among "res2", "res3", "res4", "res5" (strides 4, 8, 16, 32).
        norm: "FrozenBN" keeps the pretrained statistics; "BN", "SyncBN" trains them.
        freeze_at: stages that are not trained, as of detectron2's ResNet: 1 is what comes before
            "res2" (strides 1 and 2), 2 is up to "res2", 5 is all.

    Raises:
        ValueError: an unknown feature or norm, or not 0 to 5 stages to freeze.
    """

    @configurable
    def __init__(
        self,
        out_features: Sequence[str] = tuple(_STAGES),
        norm: str = "FrozenBN",
        freeze_at: int = 0,
    ) -> None:
        super().__init__()
        unknown = [f for f in out_features if f not in _STAGES]
        if unknown or not out_features:
            raise ValueError(
                f"MODEL.MOBILENETV2.OUT_FEATURES {list(out_features)}: known are {list(_STAGES)}"
            )
        if norm not in ("FrozenBN", "BN", "SyncBN"):
            raise ValueError(f"MODEL.MOBILENETV2.NORM {norm!r}: use 'FrozenBN', 'BN' or 'SyncBN'")
        if not 0 <= freeze_at <= len(_LAST_OF_STAGE):
            raise ValueError(f"MODEL.BACKBONE.FREEZE_AT is {freeze_at}; MobileNetV2 has 5 stages")
        last = max(_STAGES[f][0] for f in out_features)
        self.features = mobilenet_v2(weights=None).features[: last + 1]
        if norm == "FrozenBN":
            self.features = FrozenBatchNorm2d.convert_frozen_batchnorm(self.features)
        elif norm == "SyncBN":
            self.features = nn.SyncBatchNorm.convert_sync_batchnorm(self.features)
        frozen = _LAST_OF_STAGE[freeze_at - 1] + 1 if freeze_at else 0
        for i, block in enumerate(self.features[:frozen]):
            self.features[i] = FrozenBatchNorm2d.convert_frozen_batchnorm(block)
            self.features[i].requires_grad_(False)
        fold_frozen_norms(self.features)
        self._name_of_block = {_STAGES[f][0]: f for f in out_features}
        self._out_features = list(out_features)
        self._out_feature_channels = {f: _STAGES[f][1] for f in out_features}
        self._out_feature_strides = {f: _STAGES[f][2] for f in out_features}

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: ShapeSpec) -> dict:
        """Read ``MODEL.MOBILENETV2`` and ``MODEL.BACKBONE.FREEZE_AT``."""
        return {
            **arguments(cfg.MODEL.MOBILENETV2),
            "freeze_at": cfg.MODEL.BACKBONE.FREEZE_AT,
        }

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Map RGB images (N, 3, H, W) to ``{"res2": (N, 24, H / 4, W / 4), ...}``."""
        outputs = {}
        # Convolutions by channel are faster there like this: benchmarks/speed/parts.py.
        if x.device.type == "cpu":
            x = x.contiguous(memory_format=torch.channels_last)
        for i, block in enumerate(self.features):
            x = block(x)
            if i in self._name_of_block:
                outputs[self._name_of_block[i]] = x.contiguous()
        return outputs


@register_if_free(BACKBONE_REGISTRY)
def build_mobilenetv2_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> MobileNetV2:
    """MobileNetV2 from ``MODEL.MOBILENETV2``."""
    return MobileNetV2(cfg, input_shape)
