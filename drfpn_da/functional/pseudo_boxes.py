"""Pseudo-labels of detectors: losses on soft labels, thresholds, how stable a box is."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .domain import at_least_float32


def soft_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Return the mean of ``-sum_c q_c log p_c``, in at least float32.

    Against soft labels of proposals (K classes and the background) every term is weighted by the
    teacher's belief: a proposal that it takes for background with probability 0.3 teaches the
    background with weight 0.3.

    Args:
        logits: (R, C), of the student; R may be 0, which gives a zero that keeps the graph.
        target: (R, C), probabilities q; rows sum to 1. They get no gradient.

    Raises:
        ValueError: the shapes differ.
    """
    if logits.shape != target.shape:
        raise ValueError(
            f"logits are {tuple(logits.shape)}, their soft labels {tuple(target.shape)}"
        )
    log_p = at_least_float32(logits).log_softmax(dim=1)
    losses = -(target.detach().to(log_p.dtype) * log_p).sum(dim=1)
    return losses.sum() / max(len(losses), 1)


def class_thresholds(confidence: Tensor, seen: Tensor, threshold: float, floor: float) -> Tensor:
    """Return the (K,) thresholds of the classes: lower where the teacher is less confident.

    ``threshold * m_c / max_c m_c``, but at least ``floor``: the ratio to the class that is learnt
    best, as in FreeMatch (arXiv 2205.07246, equation 8), on a fixed overall threshold. Classes that
    were never seen have ``threshold``.

    Args:
        confidence: (K,), running means m_c of the teacher's scores in [0, 1].
        seen: (K,), True where there is such a mean.
        threshold: of the best class, in [0, 1].
        floor: lowest threshold, in [0, threshold].
    """
    best = confidence.masked_fill(~seen, 0).max().clamp(min=torch.finfo(confidence.dtype).tiny)
    scaled = (threshold * confidence / best).clamp(min=floor)
    return torch.where(seen, scaled, threshold)


def rows_where(masks: Sequence[Tensor]) -> list[Tensor]:
    """Return the rows of each (R_i,) mask where it is True, ascending.

    The host waits for a GPU once, for how many there are; ``nonzero`` waits for each mask.
    """
    counts = torch.stack([mask.sum() for mask in masks]).tolist()
    return [
        mask.logical_not().to(torch.uint8).argsort(stable=True)[:count]
        for mask, count in zip(masks, counts)
    ]


def jitter_boxes(boxes: Tensor, count: int, scale: float, generator: torch.Generator) -> Tensor:
    """Return ``count`` copies of each box with every side moved at random.

    Args:
        boxes: (R, 4), absolute XYXY.
        count: copies of each.
        scale: largest movement as a share of the box's width or height; uniform up to that.
        generator: on the boxes' device.

    Returns:
        (R, count, 4).
    """
    sizes = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
    shape = (len(boxes), count, 4)
    moves = torch.rand(shape, generator=generator, device=boxes.device, dtype=boxes.dtype)
    return boxes[:, None] + (2 * moves - 1) * scale * sizes[:, None]


def relative_spread(boxes: Tensor) -> Tensor:
    """Return how much several answers for one object differ, relative to its size.

    The standard deviation of each coordinate, divided by the mean of width and height of the mean
    box, averaged over the four coordinates (box variance of Soft Teacher, arXiv 2106.09018,
    equations 8 and 9).

    Args:
        boxes: (R, J, 4), absolute XYXY; J, at least 2, boxes for each of R objects.

    Returns:
        (R,), 0 where all agree.
    """
    mean = boxes.mean(dim=1)
    size = (mean[:, 2:] - mean[:, :2]).clamp(min=1e-6).mean(dim=1)
    # By hand: Tensor.std warns where there is no object.
    variance = (boxes - mean[:, None]).square().sum(dim=1) / (boxes.shape[1] - 1)
    return variance.sqrt().mean(dim=1) / size
