"""Meta-architectures."""

from .adaptive import AdaptiveModel
from .fcos import FCOS

__all__ = ["FCOS", "AdaptiveModel"]
