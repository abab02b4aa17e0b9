"""Any timm model as a detectron2 bottom-up network."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

from detectron2.config import CfgNode, configurable
from detectron2.layers import FrozenBatchNorm2d, ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY
from detectron2.modeling.backbone import Backbone
from torch import Tensor, nn

from ...compat import register_if_free
from ...node_arguments import arguments


class TimmBackbone(Backbone):
    """A timm model whose maps are named by stride: res2 = 4 ... res5 = 32.

    Parameters are named ``model.<timm's name>``. Models that lay their maps out as (N, H, W, C),
    such as Swin, are transposed.

    Args:
        name: timm's model name.
        out_features: names "res<k>" with k = log2(stride).
        pretrained: load timm's weights (needs network or timm's cache).
        freeze_bn: keep every BatchNorm at its running statistics.
        **model_args: further arguments of ``timm.create_model``, for example ``img_size``.

    Raises:
        ImportError: timm is not installed.
        ValueError: unknown model, no ``features_only`` support, or no map at an asked stride.
    """

    @configurable
    def __init__(
        self,
        name: str,
        out_features: Sequence[str] = ("res2", "res3", "res4", "res5"),
        pretrained: bool = False,
        freeze_bn: bool = True,
        **model_args: Any,
    ) -> None:
        super().__init__()
        try:
            import timm
        except ImportError as error:
            raise ImportError(
                "build_timm_backbone needs timm: pip install 'drfpn_da[timm]'"
            ) from error
        if not timm.is_model(name):
            near = difflib.get_close_matches(name, timm.list_models(), n=3)
            raise ValueError(f"MODEL.TIMM.NAME {name!r} is no timm model; near ones: {near}")
        model = _create(name, pretrained=pretrained, features_only=True, **model_args)
        info = model.feature_info
        by_name = {
            f"res{int(stride).bit_length() - 1}": (index, channels, stride)
            for index, (stride, channels) in enumerate(zip(info.reduction(), info.channels()))
        }
        missing = [f for f in out_features if f not in by_name]
        if missing or not out_features:
            raise ValueError(
                f"MODEL.TIMM.OUT_FEATURES {list(out_features)}: {name} gives {sorted(by_name)}"
            )
        self.model = FrozenBatchNorm2d.convert_frozen_batchnorm(model) if freeze_bn else model
        self._channels_last = getattr(model, "output_fmt", None) == "NHWC"
        self._index = {f: by_name[f][0] for f in out_features}
        self._out_features = list(out_features)
        self._out_feature_channels = {f: by_name[f][1] for f in out_features}
        self._out_feature_strides = {f: by_name[f][2] for f in out_features}

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: ShapeSpec) -> dict[str, Any]:
        """Read ``MODEL.TIMM``."""
        return arguments(cfg.MODEL.TIMM)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Map images (N, 3, H, W) to the asked maps, each (N, C, H / stride, W / stride)."""
        maps = self.model(x)
        outputs = {name: maps[index] for name, index in self._index.items()}
        if self._channels_last:
            outputs = {
                name: value.permute(0, 3, 1, 2).contiguous() for name, value in outputs.items()
            }
        return outputs


def _create(name: str, **arguments: Any) -> nn.Module:
    import timm

    try:  # Swin and its kin refuse other sizes than those they were built for, unless told not to
        return timm.create_model(name, strict_img_size=False, **arguments)
    except TypeError:
        return timm.create_model(name, **arguments)


@register_if_free(BACKBONE_REGISTRY)
def build_timm_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> TimmBackbone:
    """A timm model from ``MODEL.TIMM``."""
    return TimmBackbone(cfg, input_shape)
