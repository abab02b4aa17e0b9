"""Checkpoints: saved and read safely; pretrained and depth networks."""

from .pretrained import PretrainedHandler
from .safe import CheckpointError, SafeCheckpointer, load_model
from .transfer import TransferHandler, rename_depth_weights

__all__ = [
    "CheckpointError",
    "PretrainedHandler",
    "SafeCheckpointer",
    "TransferHandler",
    "load_model",
    "rename_depth_weights",
]
