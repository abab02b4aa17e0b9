"""Heads of dense detectors."""

from .slender_fcos_head import SlenderFCOSHead

__all__ = ["SlenderFCOSHead"]
