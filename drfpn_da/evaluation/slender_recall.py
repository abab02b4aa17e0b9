"""Recall by best overlap, the measure of the paper for data whose regular objects lack labels."""

from __future__ import annotations

import numpy as np

from .slender_matching import Overlaps, pack, places, unpack


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
    # Only images with more detections than that need them sorted.
    many = np.flatnonzero(np.bincount(found.image)[found.image] > limit)
    many = many[np.lexsort((-found.scores[many], found.image[many]))]
    place = np.zeros(len(found), dtype=np.int64)
    place[many] = places(found.image[many])
    kept = np.flatnonzero(place[overlaps.detection] < limit)
    detection, annotation = overlaps.detection[kept], overlaps.annotation[kept]
    # The n-th pairs of all images and classes at a time.
    group = found.category[detection] * np.int64(2**32) + found.image[detection]
    order = np.lexsort((-overlaps.iou[kept], group))
    turn = places(group)
    by_turn = np.argsort(turn, kind="stable")
    left = pack(counts.T)
    unused = np.full((len(found), left.shape[1]), ~np.uint64(0))
    taken = np.zeros((len(kept), left.shape[1]), dtype=np.uint64)
    for pairs in np.split(order[by_turn], np.flatnonzero(np.diff(turn[by_turn])) + 1):
        mine, theirs = detection[pairs], annotation[pairs]
        taken[pairs] = free = left[theirs] & unused[mine]
        left[theirs] ^= free
        unused[mine] ^= free
    pair, subset = np.nonzero(unpack(taken, (len(kept), len(counts))))
    result = np.zeros(counts.shape)
    result[subset, annotation[pair]] = overlaps.iou[kept][pair]
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
