"""FCOS (Tian et al., arXiv 1904.01355) from YAML: detectron2 has it for LazyConfig."""

from __future__ import annotations

from typing import Any

from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY, build_backbone
from detectron2.modeling.meta_arch.fcos import FCOS as _FCOS
from detectron2.modeling.meta_arch.fcos import FCOSHead


class FCOS(_FCOS):
    """FCOS of detectron2, built from ``MODEL.FCOS`` or explicit arguments; same parameters.

    As in detectron2, P6 and P7 should be made from P5 (``TOP_BLOCK: p6p7_on_output``).
    """

    @configurable
    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Read ``MODEL.FCOS``, the backbone and the pixel statistics.

        Raises:
            ValueError: the backbone lacks a level of ``MODEL.FCOS.IN_FEATURES``.
        """
        node = cfg.MODEL.FCOS
        backbone = build_backbone(cfg)
        shapes = backbone.output_shape()
        missing = [f for f in node.IN_FEATURES if f not in shapes]
        if missing:
            raise ValueError(
                f"MODEL.FCOS.IN_FEATURES {missing}: the backbone gives {sorted(shapes)}"
            )
        inputs = [shapes[f] for f in node.IN_FEATURES]
        head = FCOSHead(
            input_shape=inputs,
            num_classes=node.NUM_CLASSES,
            conv_dims=[inputs[0].channels] * node.NUM_CONVS,
            norm=node.NORM,
            prior_prob=node.PRIOR_PROB,
        )
        return {
            "backbone": backbone,
            "head": head,
            "head_in_features": list(node.IN_FEATURES),
            "num_classes": node.NUM_CLASSES,
            "center_sampling_radius": node.CENTER_SAMPLING_RADIUS,
            "focal_loss_alpha": node.FOCAL_LOSS_ALPHA,
            "focal_loss_gamma": node.FOCAL_LOSS_GAMMA,
            "test_score_thresh": node.SCORE_THRESH_TEST,
            "test_topk_candidates": node.TOPK_CANDIDATES_TEST,
            "test_nms_thresh": node.NMS_THRESH_TEST,
            "max_detections_per_image": cfg.TEST.DETECTIONS_PER_IMAGE,
            "pixel_mean": cfg.MODEL.PIXEL_MEAN,
            "pixel_std": cfg.MODEL.PIXEL_STD,
        }


if "FCOS" not in META_ARCH_REGISTRY:
    META_ARCH_REGISTRY.register(FCOS)
