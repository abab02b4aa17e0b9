"""Depth: decoder, pose network, and the meta-architectures that learn it."""

from .decoder import DepthDecoder
from .pose import PoseNetwork
from .self_supervised import SelfSupervisedDepth
from .student import DepthStudent
from .unet import UNetDecoder
from .view_synthesis import ViewSynthesis

__all__ = [
    "DepthDecoder",
    "DepthStudent",
    "PoseNetwork",
    "SelfSupervisedDepth",
    "UNetDecoder",
    "ViewSynthesis",
]
