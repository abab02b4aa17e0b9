"""detectron2's ResNet with one more feature: the stem's map before its pooling."""

from __future__ import annotations

from typing import Any

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY
from detectron2.modeling.backbone.resnet import BasicStem, ResNet, build_resnet_backbone
from torch import Tensor
from torch.nn.functional import max_pool2d, relu

from ...compat import register_if_free


class OpenStemResNet(ResNet):
    """A ResNet that also gives "res1", the stem's map at stride 2, after its ReLU.

    The skip connection of U-Nets over a ResNet (monodepth2, arXiv 1806.01260) starts there.
    Parameters are named as in detectron2's ``ResNet``.

    Args:
        resnet: whose stem and stages are used.

    Raises:
        ValueError: its stem is not detectron2's ``BasicStem``, or it classifies.
    """

    def __init__(self, resnet: ResNet) -> None:
        if not isinstance(resnet.stem, BasicStem) or resnet.num_classes is not None:
            raise ValueError(
                "res1 is the map before the pooling of detectron2's BasicStem, in a ResNet without "
                f"classifier; this one begins with {type(resnet.stem).__name__}"
            )
        stages: Any = [list(stage) for stage in resnet.stages]
        features = list(resnet._out_features)
        super().__init__(resnet.stem, stages, out_features=features)
        self._out_features = ["res1", *features]
        self._out_feature_strides["res1"] = 2
        self._out_feature_channels["res1"] = resnet.stem.out_channels

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Map (N, C, H, W) to the features of ``output_shape()``."""
        outputs = {"res1": relu(self.stem.conv1(x))}
        x = max_pool2d(outputs["res1"], kernel_size=3, stride=2, padding=1)
        if "stem" in self._out_features:
            outputs["stem"] = x
        for name, stage in zip(self.stage_names, self.stages):
            x = stage(x)
            if name in self._out_features:
                outputs[name] = x
        return outputs


@register_if_free(BACKBONE_REGISTRY)
def build_resnet_stem_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> OpenStemResNet:
    """``build_resnet_backbone`` with the feature "res1", which MODEL.RESNETS.OUT_FEATURES may name.

    Raises:
        ValueError: the other features are none.
    """
    cfg = cfg.clone()
    cfg.defrost()
    wanted = [name for name in cfg.MODEL.RESNETS.OUT_FEATURES if name != "res1"]
    if not wanted:
        raise ValueError(
            "MODEL.RESNETS.OUT_FEATURES names no feature besides res1; add one, such as res5"
        )
    cfg.MODEL.RESNETS.OUT_FEATURES = wanted
    return OpenStemResNet(build_resnet_backbone(cfg, input_shape))
