"""Meta-architectures."""

from .adaptive import AdaptiveModel
from .depth_mix_segmentor import DepthMixSegmentor
from .fcos import FCOS
from .patch_classifier import PatchClassifier
from .soft_label_classifier import SoftLabelClassifier

__all__ = ["FCOS", "AdaptiveModel", "DepthMixSegmentor", "PatchClassifier", "SoftLabelClassifier"]
