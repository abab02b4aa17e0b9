"""Depth from video: decoder, pose network and the meta-architecture that trains them."""

from .decoder import DepthDecoder
from .pose import PoseNetwork
from .self_supervised import SelfSupervisedDepth

__all__ = ["DepthDecoder", "PoseNetwork", "SelfSupervisedDepth"]
