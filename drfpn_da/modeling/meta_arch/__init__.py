"""Meta-architectures."""

from .fcos import FCOS

__all__ = ["FCOS"]
