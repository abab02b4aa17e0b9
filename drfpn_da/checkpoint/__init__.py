"""Weights from elsewhere: pretrained networks, depth networks, checkpoints of other frameworks."""

from .mmdet import convert_mmdet_drfpn
from .pretrained import PretrainedHandler
from .transfer import TransferHandler, rename_depth_weights

__all__ = ["PretrainedHandler", "TransferHandler", "convert_mmdet_drfpn", "rename_depth_weights"]
