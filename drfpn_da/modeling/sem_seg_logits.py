"""Logits of any of detectron2's semantic segmentors, in training too."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from detectron2.structures import ImageList
from torch import Tensor, nn


def semantic_logits(detector: nn.Module, images: ImageList) -> Tensor:
    """Return the (N, C, H, W) float32 logits of a batch, padding included.

    Args:
        detector: with ``backbone`` and ``sem_seg_head``: SemanticSegmentor, PanopticFPN.
        images: as the detector preprocesses them.
    """
    model: Any = detector
    features = model.backbone(images.tensor)
    with _returning_logits(model.sem_seg_head):
        logits: Tensor = model.sem_seg_head(features, None)[0]
    # Heads of a stride that does not divide the size return a little more.
    height, width = images.tensor.shape[-2:]
    return logits[..., :height, :width].float()


def check_segmentor(detector: nn.Module, user: str) -> None:
    """Raise ValueError unless the detector has a semantic head."""
    if not hasattr(getattr(detector, "sem_seg_head", None), "ignore_value"):
        raise ValueError(
            f"{user} needs a semantic segmentor, but {type(detector).__name__} has no semantic "
            "head: write MODEL.ADAPT.DETECTOR SemanticSegmentor (or PanopticFPN)"
        )


@contextlib.contextmanager
def _returning_logits(head: nn.Module) -> Iterator[None]:
    """Inside, a head returns logits instead of losses; its layers stay in training mode.

    detectron2's heads decide by their own flag, which their layers do not see.
    """
    training, head.training = head.training, False
    try:
        yield
    finally:
        head.training = training
