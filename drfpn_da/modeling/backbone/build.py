"""Builders of DRFPN backbones for detectron2's registry."""

from __future__ import annotations

from typing import Any, Optional

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY
from detectron2.modeling.backbone import Backbone
from detectron2.modeling.backbone.fpn import LastLevelMaxPool
from torch import nn

from ...compat import register_if_free
from ...node_arguments import arguments
from .drfpn import DRFPN, LastLevelP6P7


def get_drfpn_arguments(cfg: CfgNode) -> dict[str, Any]:
    """Translate ``MODEL.DRFPN``, and ``MODEL.FPN`` where it is empty, into arguments."""
    node = cfg.MODEL.DRFPN

    def options(block: CfgNode) -> Optional[dict[str, Any]]:
        named = arguments(block)
        return named if named.pop("enabled") else None

    return {
        "in_features": list(node.IN_FEATURES or cfg.MODEL.FPN.IN_FEATURES),
        "out_channels": node.OUT_CHANNELS or cfg.MODEL.FPN.OUT_CHANNELS,
        "norm": node.NORM,
        "fuse_type": cfg.MODEL.FPN.FUSE_TYPE,
        "ppm": options(node.PPM),
        "srb": options(node.SRB),
        "crb": options(node.CRB),
        **arguments(node, "bottom_up_path", "init", "authors_compat"),
    }


def _build(cfg: CfgNode, input_shape: ShapeSpec, body: str, top: str, top_relu: bool) -> DRFPN:
    bottom_up: Backbone = BACKBONE_REGISTRY.get(body)(cfg, input_shape)
    neck = get_drfpn_arguments(cfg)
    top_block = _build_top_block(bottom_up, neck, top, top_relu)
    return DRFPN(bottom_up, top_block=top_block, **neck)


def _build_top_block(
    bottom_up: Backbone, neck: dict[str, Any], top: str, relu: bool
) -> Optional[nn.Module]:
    last_input, channels = neck["in_features"][-1], neck["out_channels"]
    shapes = bottom_up.output_shape()
    if last_input not in shapes:
        return None  # DRFPN names the missing feature
    last_output = f"p{int(shapes[last_input].stride).bit_length() - 1}"
    if top == "none":
        return None
    if top == "maxpool":
        block = LastLevelMaxPool()
        block.in_feature = last_output
        return block
    if top == "p6p7_on_input":
        return LastLevelP6P7(shapes[last_input].channels, channels, last_input, relu)
    if top == "p6p7_on_output":
        return LastLevelP6P7(channels, channels, last_output, relu)
    raise ValueError(
        f"MODEL.DRFPN.TOP_BLOCK {top!r}: use 'maxpool', 'p6p7_on_input', 'p6p7_on_output' or 'none'"
    )


@register_if_free(BACKBONE_REGISTRY)
def build_drfpn_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> DRFPN:
    """DRFPN over the backbone ``MODEL.DRFPN.BODY``, topped by ``MODEL.DRFPN.TOP_BLOCK``."""
    node = cfg.MODEL.DRFPN
    if node.BODY == build_drfpn_backbone.__name__:
        raise ValueError(
            f"MODEL.DRFPN.BODY is '{node.BODY}', the pyramid itself; write the network below it, "
            "such as build_resnet_backbone"
        )
    return _build(cfg, input_shape, node.BODY, node.TOP_BLOCK, node.TOP_RELU)


@register_if_free(BACKBONE_REGISTRY)
def build_resnet_drfpn_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> DRFPN:
    """DRFPN over ResNet with a max-pooled top level, for R-CNN and PanopticFPN."""
    return _build(cfg, input_shape, "build_resnet_backbone", "maxpool", True)


@register_if_free(BACKBONE_REGISTRY)
def build_retinanet_resnet_drfpn_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> DRFPN:
    """DRFPN over ResNet with P6 and P7 from the last bottom-up map (RetinaNet).

    The authors' RetinaNet has no ReLU before P7, which ``AUTHORS_COMPAT`` restores.
    """
    relu = cfg.MODEL.DRFPN.TOP_RELU
    return _build(cfg, input_shape, "build_resnet_backbone", "p6p7_on_input", relu)


@register_if_free(BACKBONE_REGISTRY)
def build_fcos_resnet_drfpn_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> DRFPN:
    """DRFPN over ResNet with P6 and P7 from the last refined map (FCOS)."""
    return _build(cfg, input_shape, "build_resnet_backbone", "p6p7_on_output", True)
