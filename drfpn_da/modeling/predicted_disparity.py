"""Disparity of a segmentor that has a depth decoder in its head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from ..renamed import former_names
from .meta_arch.domains import picture_sizes, preprocess
from .objective import AdaptationStep
from .sem_seg_logits import check_segmentor


def check_predicted_disparity(detector: nn.Module, user: str) -> None:
    """Raise ValueError unless the detector's semantic head predicts disparity."""
    check_segmentor(detector, user)
    head = detector.sem_seg_head
    if not hasattr(head, "disparities"):
        raise ValueError(
            f"{user} needs a semantic head that predicts disparity, which {type(head).__name__} of "
            f"{type(detector).__name__} does not: write MODEL.SEM_SEG_HEAD.NAME MultiTaskSemSegHead"
        )


def predict_disparities(detector: nn.Module, inputs: Sequence[dict[str, Any]]) -> list[Tensor]:
    """Return a segmentor's disparities (N, 1, H / s, W / s) of a batch, finest first.

    Args:
        detector: with ``backbone`` and a ``sem_seg_head`` that has ``disparities``.
        inputs: data set dicts with "image"; padding is at the right and at the bottom.
    """
    model: Any = detector
    pictures = preprocess(model, list(inputs)).tensor
    # Every stage then doubles the size exactly.
    divisor = 2 * max(model.sem_seg_head.decoder.strides)
    height, width = pictures.shape[-2:]
    padded = F.pad(pictures, (0, -width % divisor, 0, -height % divisor))
    disparities: list[Tensor] = model.sem_seg_head.disparities(model.backbone(padded))
    return disparities


def target_disparities(step: AdaptationStep) -> list[Tensor]:
    """Return the student's disparities of the target pictures of a step, computed once."""
    if "target_disparities" not in step.cache:
        found = predict_disparities(step.detector, step.target_inputs)
        step.cache["target_disparities"] = found
    disparities: list[Tensor] = step.cache["target_disparities"]
    return disparities


def with_disparity(inputs: Sequence[dict[str, Any]], disparity: Tensor) -> list[dict[str, Any]]:
    """Return the data set dicts with "disparity", detached and without padding.

    Args:
        inputs: with "image".
        disparity: (N, 1, H, W) of the padded batch.
    """
    sizes = picture_sizes(list(inputs))
    return [
        {**x, "disparity": one[0, :height, :width]}
        for x, one, (height, width) in zip(inputs, disparity.detach(), sizes)
    ]


__getattr__ = former_names(__name__, check_own_disparity="check_predicted_disparity")
