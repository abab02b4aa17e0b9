"""Ground truth as every implementation of COCO's metrics needs it."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable
from typing import Any

import pycocotools.mask as mask_util

logger = logging.getLogger(__name__)


def complete_truth(api: Any) -> None:
    """Fill in what annotations lack, and give those new ids that the metrics misread.

    - ``iscrowd`` is 0 where there is none.
    - ``area`` is that of the mask, else of the box; all implementations tell small objects by it,
      and take an absent one for 0 or fail.
    - Ids are positive numbers: 0 means "no match" in COCO's evaluation, so that the annotation with
      that id could never be found; the compiled implementations do not know text.

    Args:
        api: pycocotools' ``COCO`` with annotations; changed in place.
    """
    annotations = api.dataset["annotations"]
    renumbered = _renumber(annotations)
    for annotation in annotations:
        if annotation.get("iscrowd") is None:
            annotation["iscrowd"] = 0
        if not _is_area(annotation.get("area")):
            annotation["area"] = _area(api, annotation)
    if renumbered:
        api.createIndex()


def has_text_ids(api: Any) -> bool:
    """Whether pictures or classes have ids that are text, which only pycocotools can evaluate."""
    return any(isinstance(i, str) for ids in (api.imgs, api.cats) for i in ids)


def measurable_tasks(api: Any, tasks: Iterable[str], name: str) -> tuple[str, ...]:
    """Return the tasks for which annotations have what is measured.

    Args:
        api: pycocotools' ``COCO`` with annotations.
        tasks: "bbox", "segm", "keypoints".
        name: of the data set, for the log.
    """
    annotations = api.dataset["annotations"]
    tasks = tuple(tasks)
    if "segm" in tasks and annotations and not any(a.get("segmentation") for a in annotations):
        logger.warning("Dataset '%s' has no masks: boxes alone are measured on it.", name)
        return tuple(task for task in tasks if task != "segm")
    return tasks


def _renumber(annotations: list[dict[str, Any]]) -> bool:
    """Give annotations positive numbers as ids, new ones above all others; return if any did."""
    wrong = [a for a in annotations if type(a["id"]) is not int or a["id"] <= 0]
    if wrong:
        largest = max((a["id"] for a in annotations if type(a["id"]) is int), default=0)
        for number, annotation in enumerate(wrong, start=max(largest, 0) + 1):
            annotation["id"] = number
    return bool(wrong)


def _is_area(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and value >= 0


def _area(api: Any, annotation: dict[str, Any]) -> float:
    if annotation.get("segmentation"):
        return float(mask_util.area(api.annToRLE(annotation)))
    return float(abs(annotation["bbox"][2] * annotation["bbox"][3]))
