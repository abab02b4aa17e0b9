"""Meta-architectures."""

from .adaptive import AdaptiveModel
from .depth_mix_segmentor import DepthMixSegmentor
from .fcos import FCOS

__all__ = ["FCOS", "AdaptiveModel", "DepthMixSegmentor"]
