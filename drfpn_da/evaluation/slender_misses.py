"""The slender objects that a detector misses most clearly."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pycocotools.mask as mask_util

from ..data.slenderness import annotation_slenderness


class Miss(NamedTuple):
    """An annotation that no detection overlaps enough."""

    #: The annotation, as in its file.
    annotation: dict[str, Any]
    slenderness: float
    #: Overlap of the detection of its class that overlaps it most, and that detection.
    overlap: float
    nearest: dict[str, Any] | None


def worst_misses(
    annotations: Sequence[dict[str, Any]],
    results: Sequence[dict[str, Any]],
    *,
    below: float = 1 / 3,
    overlap: float = 0.5,
    score: float = 0.05,
    number: int = 20,
) -> list[Miss]:
    """Return slender annotations without a detection, those of least overlap first.

    Among equal overlaps the larger object comes first: it was the easier one.

    Args:
        annotations: of a COCO file; crowds are left out.
        results: detections in COCO's result format, as ``coco_instances_results.json``.
        below: largest slenderness, exclusive.
        overlap: box IoU from which on an object is found.
        score: detections below are left out.
        number: how many to return at most.
    """
    annotations = [a for a in annotations if not a.get("iscrowd", 0)]
    candidates = defaultdict(list)
    for result in results:
        if result["score"] >= score:
            candidates[result["image_id"], result["category_id"]].append(result)
    misses = []
    for annotation, slenderness in zip(annotations, annotation_slenderness(annotations).tolist()):
        if slenderness >= below:
            continue
        box = np.array([annotation["bbox"]], dtype=float)
        nearest, greatest = None, 0.0
        for result in candidates[annotation["image_id"], annotation["category_id"]]:
            this = float(mask_util.iou(np.array([result["bbox"]], dtype=float), box, [0])[0, 0])
            if this > greatest:
                nearest, greatest = result, this
        if greatest < overlap:
            misses.append(Miss(annotation, slenderness, greatest, nearest))
    misses.sort(key=lambda miss: (miss.overlap, -np.prod(miss.annotation["bbox"][2:])))
    return misses[:number]
