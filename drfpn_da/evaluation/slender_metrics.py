"""From matches to COCO's precision and recall, for many subsets of the annotations at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .slender_matching import Matches, Overlaps

# COCO's constants: overlaps from which on a detection is right, and recalls at which precision is
# read. The rounding of linspace is part of the definition.
THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0.0, 1.0, 101)


@dataclass
class PrecisionRecall:
    """COCO's numbers by class and subset; NaN where a class has no annotation in a subset."""

    #: (T, R, K, A) precision at each recall.
    precision: np.ndarray
    #: (T, K, A, M) recall with the M numbers of detections per image and class.
    recall: np.ndarray
    #: (K, A) annotations that count.
    counts: np.ndarray


def precision_recall(
    overlaps: Overlaps,
    matches: Matches,
    ignored: np.ndarray,
    outside: np.ndarray,
    classes: int,
    limits: tuple[int, ...] = (1, 10, 100),
) -> PrecisionRecall:
    """Compute COCO's precision and recall.

    Args:
        overlaps: sorted annotations and detections.
        matches: result of ``match`` with the same ``ignored``.
        ignored: (A, G), annotations that do not count in each subset.
        outside: (A, D), detections that are no error in a subset when they match nothing.
        classes: number of classes, K.
        limits: numbers of detections per image and class, for the recall.
    """
    subsets, steps = len(ignored), matches.annotation.shape[1]
    owner = overlaps.truth.category
    counts = np.stack([np.bincount(owner[~these], minlength=classes) for these in ignored], axis=1)
    precision = np.full((steps, len(RECALLS), classes, subsets), np.nan)
    recall = np.full((steps, classes, subsets, len(limits)), np.nan)

    category = overlaps.found.category
    order = np.lexsort((-overlaps.found.scores, category))
    # Of the detections before each one, those that are no error if unmatched.
    harmless = np.zeros((subsets, len(order) + 1), dtype=np.int32)
    np.cumsum(outside[:, order], axis=1, out=harmless[:, 1:])
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    by_class = np.argsort(place[matches.detections])
    owners = category[matches.detections[by_class]]
    for k in np.flatnonzero(counts.any(axis=1)).tolist():
        rows = by_class[np.searchsorted(owners, k) : np.searchsorted(owners, k, side="right")]
        detections = matches.detections[rows]
        first = int(np.searchsorted(category, k))
        at = place[detections]
        before = (at - first)[:, None] - (harmless[:, at] - harmless[:, first : first + 1]).T
        hit, right = matches.annotation[rows] >= 0, matches.counted[rows]
        _fill_class(
            precision[:, :, k], recall[:, k], counts[k], limits,
            hit, right, before, outside[:, detections].T, overlaps.rank[detections],
        )  # fmt: skip
    return PrecisionRecall(precision, recall, counts)


def _fill_class(
    precision: np.ndarray,
    recall: np.ndarray,
    counts: np.ndarray,
    limits: tuple[int, ...],
    hit: np.ndarray,
    right: np.ndarray,
    before: np.ndarray,
    outside: np.ndarray,
    rank: np.ndarray,
) -> None:
    """Fill (T, R, A) precision and (T, A, M) recall of one class, by its C matched detections.

    Args:
        precision: view to fill.
        recall: view to fill.
        counts: (A,) annotations that count.
        limits: numbers of detections.
        hit: (C, T, A), the detection took an annotation; best detection first.
        right: (C, T, A), and one that counts.
        before: (C, A), earlier detections of the class that would be errors if unmatched.
        outside: (C, A), the detection is no error if unmatched.
        rank: (C,), place among the detections of the same image and class.
    """
    some = np.flatnonzero(counts)
    total = counts[some]
    hit, right, before = hit[..., some], right[..., some], before[:, some]
    spared = hit & ~outside[:, None, some]
    wrong = before[:, None] - (np.cumsum(spared, axis=0) - spared)
    rights = np.cumsum(right, axis=0)
    value = np.where(right, rights / (wrong + rights + np.spacing(1)), 0.0)
    # The best precision at this recall or a higher one.
    best = np.maximum.accumulate(value[::-1], axis=0)[::-1]
    # Precision changes only where a detection is right: table it by their number.
    table = np.zeros((int(total.max()) + 1, *best.shape[1:]))
    row, step, subset = np.nonzero(right)
    table[rights[row, step, subset] - 1, step, subset] = best[row, step, subset]
    for a, number in zip(range(len(some)), total.tolist()):
        reached = np.searchsorted(np.arange(1, number + 1) / number, RECALLS)
        precision[:, :, some[a]] = table[reached, :, a].T
    for m, limit in enumerate(limits):
        recall[:, some, m] = right[rank < limit].sum(axis=0) / total
