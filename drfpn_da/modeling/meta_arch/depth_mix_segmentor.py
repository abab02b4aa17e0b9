"""``DepthMixSegmentor``: semantic segmentation with few labels, by mixing (arXiv 2012.10782)."""

from __future__ import annotations

from typing import Any

from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY

from ...compat import register_if_free
from .adaptive import AdaptiveModel


@register_if_free(META_ARCH_REGISTRY)
class DepthMixSegmentor(AdaptiveModel):
    """An :class:`AdaptiveModel` of SemanticSegmentor and the objective DepthMix.

    Further objectives of MODEL.ADAPT.OBJECTIVES, such as StrongWeakAlignment, act beside it. The
    student's checkpoint is one of SemanticSegmentor; evaluation needs neither depth nor teacher.
    """

    @configurable
    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Name detector and objective, then read the config as ``AdaptiveModel`` does."""
        cfg = cfg.clone()
        cfg.defrost()
        cfg.MODEL.ADAPT.DETECTOR = "SemanticSegmentor"
        if "DepthMix" not in cfg.MODEL.ADAPT.OBJECTIVES:
            cfg.MODEL.ADAPT.OBJECTIVES = ["DepthMix", *cfg.MODEL.ADAPT.OBJECTIVES]
        return super().from_config(cfg)
