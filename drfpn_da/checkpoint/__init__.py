"""Checkpoints: saved and read safely; pretrained and depth networks."""

from .fit import CheckpointError
from .pretrained import PretrainedHandler
from .safe import PredictionCheckpointer, SafeCheckpointer, load_model
from .transfer import TransferHandler, rename_depth_weights

__all__ = [
    "CheckpointError",
    "PredictionCheckpointer",
    "PretrainedHandler",
    "SafeCheckpointer",
    "TransferHandler",
    "load_model",
    "rename_depth_weights",
]
