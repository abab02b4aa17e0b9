"""Panoptic quality (Kirillov et al., "Panoptic Segmentation", CVPR 2019) of two maps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

# (is it a thing, contiguous id among things or among stuff)
Category = tuple[bool, int]

VOID = 0


@dataclass(frozen=True)
class Segment:
    """One segment of a panoptic map; its pixels hold ``id``, which is never 0 (void)."""

    id: int
    category: Category
    is_crowd: bool = False


@dataclass
class CategoryCounts:
    """Sums over pictures for one category."""

    iou: float = 0.0
    true_positives: int = 0
    false_positives: int = 0
    false_negatives: int = 0

    def add(self, other: CategoryCounts) -> None:
        """Add the counts of another part of the data."""
        self.iou += other.iou
        self.true_positives += other.true_positives
        self.false_positives += other.false_positives
        self.false_negatives += other.false_negatives

    @property
    def seen(self) -> bool:
        """Whether the category occurs in the ground truth or the predictions."""
        return self.true_positives + self.false_positives + self.false_negatives > 0

    @property
    def segmentation_quality(self) -> float:
        """Mean IoU of the matched segments, 0 without any."""
        return self.iou / self.true_positives if self.true_positives else 0.0

    @property
    def recognition_quality(self) -> float:
        """TP / (TP + FP/2 + FN/2)."""
        errors = self.false_positives + self.false_negatives
        return self.true_positives / (self.true_positives + 0.5 * errors) if self.seen else 0.0

    @property
    def panoptic_quality(self) -> float:
        """Product of segmentation and recognition quality."""
        return self.segmentation_quality * self.recognition_quality


@dataclass
class PanopticCounts:
    """Counts of every category."""

    categories: dict[Category, CategoryCounts] = field(default_factory=dict)

    def of(self, category: Category) -> CategoryCounts:
        """Return the counts of a category, created at first use."""
        return self.categories.setdefault(category, CategoryCounts())

    def add(self, other: PanopticCounts) -> None:
        """Add the counts of another part of the data."""
        for category, counts in other.categories.items():
            self.of(category).add(counts)

    def summary(self, things: bool | None = None) -> dict[str, float]:
        """Return PQ, SQ and RQ in percent, averaged over the categories seen, and their number.

        Args:
            things: only things (True), only stuff (False), or both (None).
        """
        chosen = [
            counts
            for (is_thing, _), counts in self.categories.items()
            if counts.seen and things in (None, is_thing)
        ]
        if not chosen:
            return {"PQ": float("nan"), "SQ": float("nan"), "RQ": float("nan"), "n": 0}
        return {
            "PQ": 100 * float(np.mean([c.panoptic_quality for c in chosen])),
            "SQ": 100 * float(np.mean([c.segmentation_quality for c in chosen])),
            "RQ": 100 * float(np.mean([c.recognition_quality for c in chosen])),
            "n": len(chosen),
        }


def count_picture(
    predicted: np.ndarray,
    predicted_segments: Iterable[Segment],
    truth: np.ndarray,
    true_segments: Iterable[Segment],
) -> PanopticCounts:
    """Match one picture's segments and count.

    Segments of the same category match if their IoU, with void pixels left out of the union, is
    above 0.5; such a match is unique. Crowd segments are never matched nor missed. A prediction
    without match is not counted if more than half of it lies on void or on crowd of its category.

    Args:
        predicted: (H, W) integer segment ids, 0 for pixels without a prediction.
        predicted_segments: the segments that count; other ids are treated as 0.
        truth: (H, W) integer segment ids, 0 for void.
        true_segments: the ground truth segments; other ids are treated as void.
    """
    if predicted.shape != truth.shape:
        raise ValueError(f"Prediction is {predicted.shape}, ground truth is {truth.shape}.")
    preds = {segment.id: segment for segment in predicted_segments}
    truths = {segment.id: segment for segment in true_segments}
    area_pred, area_true, overlap = _areas(_only(predicted, preds), _only(truth, truths))

    counts = PanopticCounts()
    matched_pred, matched_true = set(), set()
    for (true_id, pred_id), intersection in overlap.items():
        if VOID in (true_id, pred_id) or truths[true_id].is_crowd:
            continue
        if truths[true_id].category != preds[pred_id].category:
            continue
        on_void = overlap.get((VOID, pred_id), 0)
        union = area_pred[pred_id] - on_void + area_true[true_id] - intersection
        if intersection > 0.5 * union:
            category = counts.of(truths[true_id].category)
            category.true_positives += 1
            category.iou += intersection / union
            matched_pred.add(pred_id)
            matched_true.add(true_id)

    for true_id in area_true.keys() - matched_true - {VOID}:
        if not truths[true_id].is_crowd:
            counts.of(truths[true_id].category).false_negatives += 1

    for pred_id in area_pred.keys() - matched_pred - {VOID}:
        category_of_pred = preds[pred_id].category
        forgiven = overlap.get((VOID, pred_id), 0) + sum(
            overlap.get((t.id, pred_id), 0)
            for t in truths.values()
            if t.is_crowd and t.category == category_of_pred
        )
        if forgiven <= 0.5 * area_pred[pred_id]:
            counts.of(category_of_pred).false_positives += 1
    return counts


def _only(ids: np.ndarray, known: dict[int, Segment]) -> np.ndarray:
    return np.where(np.isin(ids, list(known)), ids, VOID).astype(np.int64)


def _areas(
    predicted: np.ndarray, truth: np.ndarray
) -> tuple[dict[int, int], dict[int, int], dict[tuple[int, int], int]]:
    """Areas of predicted and true ids, and of every (true id, predicted id) pair that occurs."""
    base = int(predicted.max(initial=0)) + 1
    pairs, sizes = np.unique(truth * base + predicted, return_counts=True)
    overlap = {(int(p) // base, int(p) % base): int(n) for p, n in zip(pairs, sizes)}
    area_pred: dict[int, int] = {}
    area_true: dict[int, int] = {}
    for (true_id, pred_id), size in overlap.items():
        area_true[true_id] = area_true.get(true_id, 0) + size
        area_pred[pred_id] = area_pred.get(pred_id, 0) + size
    return area_pred, area_true, overlap
