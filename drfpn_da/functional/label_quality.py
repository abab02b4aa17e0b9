"""Calibration of class probabilities and stickiness of labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor


def expected_calibration_error(confidence: Tensor, correct: Tensor, bins: int = 15) -> float:
    """Return the mean gap between confidence and accuracy (Guo et al., arXiv 1706.04599, eq. 3).

    Args: see :func:`reliability_bins`.

    Returns:
        In [0, 1]; NaN without predictions.
    """
    return calibration_error(reliability_bins(confidence, correct, bins))


def calibration_error(reliability: Sequence[Mapping[str, float]]) -> float:
    """Return the expected calibration error of the bins of :func:`reliability_bins`."""
    if not reliability:
        return float("nan")
    return sum(abs(one["accuracy"] - one["confidence"]) * one["share"] for one in reliability)


def reliability_bins(confidence: Tensor, correct: Tensor, bins: int = 15) -> list[dict[str, float]]:
    """Return what a reliability diagram shows (Guo et al., arXiv 1706.04599, section 2).

    Args:
        confidence: (N,) probability of the predicted class, in [0, 1].
        correct: (N,) bool.
        bins: of the same width; a bin contains its upper edge.

    Returns:
        For each bin that holds predictions, from the lowest up: "from" and "to", its edges,
        "confidence" and "accuracy", means over its predictions, and "share" of all predictions.

    Raises:
        ValueError: a confidence out of range.
    """
    # Means of probabilities may exceed 1 by rounding.
    if len(confidence) and (confidence.min() < -1e-3 or confidence.max() > 1 + 1e-3):
        low, high = float(confidence.min()), float(confidence.max())
        raise ValueError(f"confidences lie in [{low:g}, {high:g}], not in [0, 1]")
    place = (confidence * bins).ceil().long().clamp(1, bins) - 1
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
