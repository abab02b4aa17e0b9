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
    gap = correct.to(confidence.dtype) - confidence
    sums = confidence.new_zeros(bins).index_add(0, _bins_of(confidence, bins), gap)
    return sums.abs().sum() / len(confidence)


def reliability_bins(confidence: Tensor, correct: Tensor, bins: int = 15) -> list[dict[str, float]]:
    """Return what a reliability diagram shows (Guo et al., arXiv 1706.04599, section 2).

    Args:
        confidence: (N,) probability of the predicted class, in [0, 1].
        correct: (N,) bool.
        bins: of the same width; a bin contains its upper edge.

    Returns:
        For each bin that holds predictions, from the lowest up: "from" and "to", its edges,
        "confidence" and "accuracy", means over its predictions, and "share" of all predictions.
    """
    place = _bins_of(confidence, bins)
    counts = torch.bincount(place, minlength=bins)
    sums = torch.zeros(2, bins, dtype=torch.float64, device=confidence.device)
    sums[0].index_add_(0, place, confidence.double())
    sums[1].index_add_(0, place, correct.double())
    return [
        {
            "from": i / bins,
            "to": (i + 1) / bins,
            "confidence": float(sums[0, i] / counts[i]),
            "accuracy": float(sums[1, i] / counts[i]),
            "share": float(counts[i] / len(confidence)),
        }
        for i in counts.nonzero().flatten().tolist()
    ]


def _bins_of(confidence: Tensor, bins: int) -> Tensor:
    return (confidence * bins).ceil().long().clamp(1, bins) - 1


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
