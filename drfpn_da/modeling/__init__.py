"""Models: importing this registers them in detectron2's registries."""

from .backbone import DRFPN, DRFPNNeck, LastLevelP6P7, MobileNetV2, TimmBackbone
from .meta_arch import FCOS

__all__ = ["DRFPN", "FCOS", "DRFPNNeck", "LastLevelP6P7", "MobileNetV2", "TimmBackbone"]
