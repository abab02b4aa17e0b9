"""From matches to COCO's precision and recall, for many subsets of the annotations at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .slender_matching import Matches, Overlaps, places

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
    subsets, steps = len(ignored), matches.hit.shape[1]
    owner = overlaps.truth.category
    counts = np.stack([np.bincount(owner[~these], minlength=classes) for these in ignored], axis=1)
    precision = np.full((steps, len(RECALLS), classes, subsets), np.nan)
    recall = np.full((steps, classes, subsets, len(limits)), np.nan)

    bounds = np.searchsorted(overlaps.found.category, np.arange(classes + 1))
    row_of = np.full(len(overlaps.found), -1)
    row_of[matches.detections] = np.arange(len(matches.detections))
    for k in np.flatnonzero(counts.any(axis=1)).tolist():
        first, last = bounds[k : k + 2]
        order = first + np.argsort(-overlaps.found.scores[first:last], kind="stable")
        matched = np.flatnonzero(row_of[order] >= 0)
        detections = order[matched]
        rows = row_of[detections]
        # The detections up to each one that would be errors, if none matched.
        errors = np.cumsum(~outside[:, order], axis=1, dtype=np.int32)
        before = (errors[:, matched] - ~outside[:, detections]).T
        right = matches.right[rows]
        spared = matches.hit[rows] & ~outside[:, detections].T[:, None]
        some = np.flatnonzero(counts[k])
        precision[:, :, k, some] = _precision(right, spared, before, counts[k])[..., some]
        for m, limit in enumerate(limits):
            among = right[overlaps.rank[detections] < limit].sum(axis=0)
            recall[:, k, some, m] = among[:, some] / counts[k, some]
    return PrecisionRecall(precision, recall, counts)


def _precision(
    right: np.ndarray, spared: np.ndarray, before: np.ndarray, counts: np.ndarray
) -> np.ndarray:
    """Return (T, R, A) precision at each recall of one class, by its C matched detections.

    Args:
        right: (C, T, A), the detection took an annotation that counts; best detection first.
        spared: (C, T, A), it took one, and would else have been an error.
        before: (C, A), earlier detections of the class that would be errors if unmatched.
        counts: (A,) annotations that count.
    """
    # Precision changes only where a detection is right: table it by their number.
    step, subset, row = np.nonzero(right.transpose(1, 2, 0))
    curve = step * len(counts) + subset
    number = 1 + places(curve)
    errors = before[row, subset] - np.cumsum(spared, axis=0, dtype=np.int32)[row, step, subset]
    errors += spared[row, step, subset]
    table = np.zeros((*right.shape[1:], int(counts.max()) + 1))
    table[step, subset, number - 1] = number / (errors + number + np.spacing(1))
    # The best precision at this recall or a higher one.
    best = np.maximum.accumulate(table[..., ::-1], axis=2)[..., ::-1]
    result = np.empty((len(table), len(RECALLS), len(counts)))
    for a, total in enumerate(counts.tolist()):
        reached = np.searchsorted(np.arange(1, total + 1) / max(total, 1), RECALLS)
        result[:, :, a] = best[:, a, reached]
    return result
