"""COCO's matching of detections with annotations, for many subsets of the annotations at once.

pycocotools repeats its matching for every area range, image, class and threshold. Here the steps of
the greedy rule are taken for all of them together, so that a dozen subsets cost little more than
one. The rule is COCO's to the letter, ties and crowds included; the tests compare with pycocotools.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

# A threshold of 1 is met by an overlap that rounding leaves just below it, as in pycocotools.
ALMOST_ONE = 1 - 1e-10

S = TypeVar("S", bound="Shapes")


@dataclass
class Shapes:
    """Annotations or detections, as parallel arrays of length N."""

    #: Index of the image.
    image: np.ndarray
    #: Index of the class.
    category: np.ndarray

    def __len__(self) -> int:
        return len(self.image)

    def take(self: S, index: np.ndarray) -> S:
        """Return the shapes at ``index``, in that order."""
        return type(self)(**{name: values[index] for name, values in vars(self).items()})


@dataclass
class Annotations(Shapes):
    """The truth."""

    #: Crowds: areas in which detections are no errors.
    crowd: np.ndarray


@dataclass
class Detections(Shapes):
    """Detections of a model."""

    scores: np.ndarray


@dataclass
class Matches:
    """Matches of C detections for T thresholds and A subsets."""

    #: (C,) which detections, ascending.
    detections: np.ndarray
    #: (C, T, A) whether each took an annotation.
    hit: np.ndarray
    #: (C, T, A) whether it took one that counts (that is not ignored).
    right: np.ndarray


@dataclass
class Overlaps:
    """Pairs of a detection and an annotation of one class in one image that overlap enough.

    ``truth`` and ``found`` are sorted by class, then image; detections of one image by score.
    """

    truth: Annotations
    found: Detections
    #: Index in the arrays given to :func:`find_overlaps` of each of ``truth`` and of ``found``.
    truth_order: np.ndarray
    found_order: np.ndarray
    #: Place of each detection among those of its class and image, best first.
    rank: np.ndarray
    #: (P,) pairs: detection, annotation, overlap; sorted by detection, then by annotation.
    detection: np.ndarray
    annotation: np.ndarray
    iou: np.ndarray


def find_overlaps(
    truth: Annotations,
    found: Detections,
    known: Mapping[tuple[int, int], np.ndarray],
    least: float,
    limit: int = 100,
) -> Overlaps:
    """Sort annotations and detections, and pair those that overlap by at least ``least``.

    Args:
        truth: annotations.
        found: detections; of each image and class the ``limit`` best take part.
        known: (D, G) overlaps of those detections, best first, with the annotations of each
            (image, class), as ``COCOeval.ious`` has them under ids.
        least: the smallest overlap that matters.
        limit: detections per image and class.
    """
    images = int(max(truth.image.max(initial=0), found.image.max(initial=0))) + 1
    truth_order = np.argsort(truth.category * images + truth.image, kind="stable")
    found_order = np.lexsort((-found.scores, found.category * images + found.image))
    truth, found = truth.take(truth_order), found.take(found_order)
    found_key = found.category * images + found.image
    rank = places(found_key)
    if (kept := rank < limit).sum() < len(found):
        found, found_order = found.take(kept), found_order[kept]
        found_key, rank = found_key[kept], rank[kept]
    # Every detection with all annotations of its image and class.
    truth_key = truth.category * images + truth.image
    first = np.searchsorted(truth_key, found_key)
    count = np.searchsorted(truth_key, found_key, side="right") - first
    detection = np.repeat(np.arange(len(found)), count)
    annotation = np.arange(len(detection)) + np.repeat(first - (np.cumsum(count) - count), count)
    heads = np.flatnonzero((rank == 0) & (count > 0))
    groups = zip(found.image[heads].tolist(), found.category[heads].tolist())
    iou = np.concatenate([np.empty(0), *(np.ravel(known[group]) for group in groups)])
    enough = np.flatnonzero(iou >= min(least, ALMOST_ONE))
    pairs = detection[enough], annotation[enough], iou[enough]
    return Overlaps(truth, found, truth_order, found_order, rank, *pairs)


def match(overlaps: Overlaps, ignored: np.ndarray, thresholds: np.ndarray) -> Matches:
    """Match detections with annotations by COCO's greedy rule.

    In order of their scores, detections take the annotation that overlaps them most, of those not
    yet taken: first of the annotations that count, then of the ignored. Crowds are never used up.

    Args:
        overlaps: result of :func:`find_overlaps`.
        ignored: (A, G) for A subsets and the G annotations of ``overlaps.truth``: True for those
            outside the subset, and for crowds.
        thresholds: (T,) overlaps from which on a match counts, ascending.
    """
    steps, subsets = len(thresholds), len(ignored)
    detections, mine = np.unique(overlaps.detection, return_inverse=True)
    # A row of bits, one for each threshold and subset: 64 cases are decided by one operation.
    reached = np.searchsorted(np.minimum(thresholds, ALMOST_ONE), overlaps.iou, side="right")
    met = pack(np.tri(steps + 1, steps, -1, dtype=bool).repeat(subsets, axis=1))[reached]
    counts = pack(np.tile(~ignored.T, steps))
    crowd = overlaps.truth.crowd[:, None] * ~np.uint64(0)
    taken = np.zeros_like(counts)
    right = np.zeros((len(detections), counts.shape[1]), dtype=np.uint64)
    hit = np.zeros_like(right)
    for turn in _turns(overlaps, detections, mine):
        for pairs in turn:
            at, theirs = mine[pairs], overlaps.annotation[pairs]
            took = met[pairs] & counts[theirs] & ~taken[theirs] & ~right[at]
            taken[theirs] |= took
            right[at] |= took
        for pairs in turn:
            at, theirs = mine[pairs], overlaps.annotation[pairs]
            free = ~counts[theirs] & (~taken[theirs] | crowd[theirs])
            took = met[pairs] & free & ~(hit[at] | right[at])
            taken[theirs] |= took
            hit[at] |= took
    shape = (len(detections), steps, subsets)
    return Matches(detections, unpack(hit | right, shape), unpack(right, shape))


def places(keys: np.ndarray) -> np.ndarray:
    """Place of each of (N,) sorted keys among its equals, from 0."""
    return np.arange(len(keys)) - np.searchsorted(keys, keys)


def pack(flags: np.ndarray) -> np.ndarray:
    """(N, F) flags as (N, W) words of 64 bits."""
    padding = np.zeros((len(flags), -flags.shape[1] % 64), dtype=bool)
    return np.packbits(np.hstack([flags, padding]), axis=1).view(np.uint64)


def unpack(words: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Flags of ``shape`` from the words of each row."""
    size = math.prod(shape[1:])
    return np.unpackbits(words.view(np.uint8), axis=1, count=size).view(bool).reshape(shape)


def _turns(
    overlaps: Overlaps, detections: np.ndarray, mine: np.ndarray
) -> Iterator[list[np.ndarray]]:
    """The pairs in COCO's order: the n-th detections of all images and classes at a time.

    Each turn is a list: first every detection's pair of greatest overlap, then of the next. Among
    equal overlaps the later annotation comes first.
    """
    group = overlaps.found.category[detections] * np.int64(2**32) + overlaps.found.image[detections]
    turn = places(group)[mine]
    by_overlap = np.lexsort((-overlaps.annotation, -overlaps.iou, mine))
    step = np.empty(len(mine), dtype=np.int64)
    step[by_overlap] = places(mine)
    order = np.lexsort((step, turn))
    key = turn[order] * (step.max(initial=0) + 1) + step[order]
    pieces = np.split(order, np.flatnonzero(np.diff(key)) + 1) if len(order) else []
    for _, same in itertools.groupby(pieces, key=lambda pairs: turn[pairs[0]]):
        yield list(same)
