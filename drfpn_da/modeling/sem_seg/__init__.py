"""Semantic heads: importing this registers them in detectron2's SEM_SEG_HEADS."""

from .multi_task import MultiTaskSemSegHead
from .unet import UNetSemSegHead

__all__ = ["MultiTaskSemSegHead", "UNetSemSegHead"]
