"""Weights from elsewhere: pretrained bottom-up networks and checkpoints of other frameworks."""

from .mmdet import convert_mmdet_drfpn
from .pretrained import PretrainedHandler

__all__ = ["PretrainedHandler", "convert_mmdet_drfpn"]
