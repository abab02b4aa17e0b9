"""How good predicted class probabilities and labels made of them are."""

from __future__ import annotations

import torch
from torch import Tensor


def expected_calibration_error(confidence: Tensor, correct: Tensor, bins: int = 15) -> Tensor:
    """Return the mean gap between confidence and accuracy over equal bins of confidence.

    Bins are weighted by how many predictions they hold (Guo et al., arXiv 1706.04599, equation 3).

    Args:
        confidence: (N,) probability of the predicted class, in [0, 1]; N is at least 1.
        correct: (N,) bool.
        bins: of the same width; a bin contains its upper edge.
    """
    place = (confidence * bins).ceil().long().clamp(1, bins) - 1
    gap = correct.to(confidence.dtype) - confidence
    sums = confidence.new_zeros(bins).index_add(0, place, gap)
    return sums.abs().sum() / len(confidence)


def stickiness(first: Tensor, now: Tensor, truth: Tensor) -> Tensor:
    """Return the share of labels wrong at first that are the same wrong class now.

    NaN if none was wrong.

    Args:
        first: (N,) labels at first.
        now: (N,) labels now.
        truth: (N,) true classes.
    """
    wrong = first != truth
    return (wrong & (now == first)).sum() / wrong.sum().to(torch.float32)
