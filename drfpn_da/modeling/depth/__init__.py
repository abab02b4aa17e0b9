"""Depth from video: decoder, pose network and the meta-architecture that trains them."""

from .decoder import DepthDecoder
from .pose import PoseNetwork
from .self_supervised import SelfSupervisedDepth
from .unet import UNetDecoder
from .view_synthesis import ViewSynthesis

__all__ = ["DepthDecoder", "PoseNetwork", "SelfSupervisedDepth", "UNetDecoder", "ViewSynthesis"]
