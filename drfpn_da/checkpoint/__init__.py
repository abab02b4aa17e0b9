"""Checkpoints: saved and read safely; pretrained and depth networks, other frameworks."""

from .fit import CheckpointError
from .mmdet import convert_mmdet_drfpn
from .pretrained import PretrainedHandler
from .safe import PredictionCheckpointer, SafeCheckpointer, load_model
from .transfer import TransferHandler, rename_depth_weights

__all__ = [
    "CheckpointError",
    "PredictionCheckpointer",
    "PretrainedHandler",
    "SafeCheckpointer",
    "TransferHandler",
    "convert_mmdet_drfpn",
    "load_model",
    "rename_depth_weights",
]
