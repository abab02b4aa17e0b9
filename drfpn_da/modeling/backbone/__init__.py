"""Backbones and bottom-up networks."""

from .build import (
    build_drfpn_backbone,
    build_fcos_resnet_drfpn_backbone,
    build_resnet_drfpn_backbone,
    build_retinanet_resnet_drfpn_backbone,
)
from .drfpn import DRFPN, DRFPNNeck, LastLevelP6P7
from .mobilenet import MobileNetV2, build_mobilenetv2_backbone
from .resnet_stem import OpenStemResNet, build_resnet_stem_backbone
from .small_resnet import build_small_resnet_backbone, small_resnet
from .timm_body import TimmBackbone, build_timm_backbone
from .vgg import VGG16, VGG16BoxHead, build_vgg16_backbone

__all__ = [
    "DRFPN",
    "DRFPNNeck",
    "LastLevelP6P7",
    "MobileNetV2",
    "OpenStemResNet",
    "TimmBackbone",
    "VGG16",
    "VGG16BoxHead",
    "build_drfpn_backbone",
    "build_fcos_resnet_drfpn_backbone",
    "build_mobilenetv2_backbone",
    "build_resnet_drfpn_backbone",
    "build_resnet_stem_backbone",
    "build_retinanet_resnet_drfpn_backbone",
    "build_small_resnet_backbone",
    "build_timm_backbone",
    "build_vgg16_backbone",
    "small_resnet",
]
