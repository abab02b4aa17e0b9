"""Recall by best overlap, the measure of the paper for data whose regular objects lack labels."""

from __future__ import annotations

import numpy as np

from .slender_matching import Overlaps


def best_overlaps(overlaps: Overlaps, counts: np.ndarray, limit: int = 100) -> np.ndarray:
    """Match the annotations of each subset with detections, greatest overlap first.

    As in Wan et al. (arXiv 2011.08529): scores decide only which ``limit`` detections of an image,
    over all classes, take part; each detection and each annotation is used once.

    Args:
        overlaps: result of :func:`~drfpn_da.evaluation.slender_matching.find_overlaps`.
        counts: (A, G), annotations of each subset (no crowds).
        limit: detections per image.

    Returns:
        (A, G) overlap of the detection that each annotation got; 0 where it got none, or one below
        the ``least`` of the overlaps.
    """
    found = overlaps.found
    by_image = np.lexsort((-found.scores, found.image))
    images = found.image[by_image]
    place = np.empty(len(found), dtype=np.int64)
    place[by_image] = np.arange(len(found)) - np.searchsorted(images, images)
    order = np.argsort(-overlaps.iou, kind="stable")
    order = order[place[overlaps.detection[order]] < limit]
    # A bit for each subset in which an annotation, or a detection, is still to be had.
    bits = (np.int64(1) << np.arange(len(counts)))[:, None]
    left = (counts * bits).sum(axis=0).tolist()
    unused = [-1] * len(found)
    taken = np.zeros(len(order), dtype=np.int64)
    pairs = zip(overlaps.detection[order].tolist(), overlaps.annotation[order].tolist())
    for i, (detection, annotation) in enumerate(pairs):
        free = left[annotation] & unused[detection]
        if free:
            left[annotation] &= ~free
            unused[detection] &= ~free
            taken[i] = free
    subset, pair = np.nonzero(taken & bits)
    result = np.zeros(counts.shape)
    result[subset, overlaps.annotation[order][pair]] = overlaps.iou[order][pair]
    return result


def mean_recall(
    best: np.ndarray,
    counts: np.ndarray,
    category: np.ndarray,
    classes: int,
    thresholds: np.ndarray,
) -> np.ndarray:
    """Return (A, T, K) recall by subset, threshold and class; NaN without an annotation.

    Args:
        best: (A, G), result of :func:`best_overlaps`.
        counts: (A, G), annotations of each subset.
        category: (G,), their classes.
        classes: K.
        thresholds: (T,) overlaps.
    """
    result = np.full((len(counts), len(thresholds), classes), np.nan)
    for a, these in enumerate(counts):
        number = np.bincount(category[these], minlength=classes)
        for t, threshold in enumerate(thresholds):
            hit = np.bincount(category[these & (best[a] >= threshold)], minlength=classes)
            result[a, t, number > 0] = hit[number > 0] / number[number > 0]
    return result
