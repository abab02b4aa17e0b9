"""The slender objects that a detector misses most clearly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..data.slenderness import annotation_slenderness
from .slender_matching import Annotations, Detections, find_overlaps


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
    slenderness = annotation_slenderness(annotations)
    chosen = np.flatnonzero(slenderness < below).tolist()
    results = [result for result in results if result["score"] >= score]
    index = {image: i for i, image in enumerate(sorted({a["image_id"] for a in annotations}))}
    results = [result for result in results if result["image_id"] in index]
    truth = Annotations(
        **_arrays([annotations[i] for i in chosen], index),
        crowd=np.zeros(len(chosen), dtype=bool),
    )
    found = Detections(
        **_arrays(results, index), scores=np.array([r["score"] for r in results], dtype=float)
    )
    overlaps = find_overlaps(truth, found, least=0.0, limit=max(len(results), 1))
    best = np.zeros(len(chosen))
    nearest = np.full(len(chosen), -1)
    order = np.argsort(overlaps.iou, kind="stable")
    order = order[overlaps.iou[order] > 0]
    at = overlaps.truth_order[overlaps.annotation[order]]
    best[at] = overlaps.iou[order]  # the last one, which is the largest, stays
    nearest[at] = overlaps.found_order[overlaps.detection[order]]
    missed = [k for k in range(len(chosen)) if best[k] < overlap]
    missed.sort(key=lambda k: (best[k], -truth.boxes[k, 2] * truth.boxes[k, 3]))
    return [
        Miss(
            annotations[chosen[k]],
            float(slenderness[chosen[k]]),
            float(best[k]),
            results[nearest[k]] if nearest[k] >= 0 else None,
        )
        for k in missed[:number]
    ]


def _arrays(items: Sequence[dict[str, Any]], index: dict[int, int]) -> dict[str, Any]:
    return {
        "image": np.array([index[item["image_id"]] for item in items], dtype=np.int64),
        "category": np.array([item["category_id"] for item in items], dtype=np.int64),
        "boxes": np.array([item["bbox"] for item in items], dtype=float).reshape(-1, 4),
        "masks": None,
    }
