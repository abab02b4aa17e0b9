"""One feature vector per picture, from anywhere in a detector's backbone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from detectron2.evaluation import inference_context
from torch import Tensor, nn

from ..functional import masked_mean
from ..modeling import FeatureTaps
from ..modeling.meta_arch.domains import picture_sizes, preprocess
from .step import detector_of


def pool_features(
    model: nn.Module, loader: Iterable[list[dict[str, Any]]], names: Sequence[str]
) -> dict[str, Tensor]:
    """Average features over the area of each picture, in evaluation mode; heads do not run.

    Args:
        model: a detector or segmentor with a ``backbone``, or an ``AdaptiveModel`` of one.
        loader: batches of test inputs.
        names: features; see :class:`FeatureTaps`.

    Returns:
        Name -> (pictures, C) float32 on the CPU.

    Raises:
        KeyError: no such feature; the message lists those that exist.
    """
    detector: Any = detector_of(model)
    taps = FeatureTaps(detector)
    taps.require(names)
    pooled: dict[str, list[Tensor]] = {name: [] for name in names}
    with inference_context(detector), torch.no_grad():
        for inputs in loader:
            with taps.record(picture_sizes(inputs)) as features:
                detector.backbone(preprocess(detector, inputs).tensor)
            for name, vectors in pooled.items():
                vectors.append(masked_mean(features[name].float(), features.mask(name)).cpu())
    return {name: torch.cat(vectors) for name, vectors in pooled.items()}
