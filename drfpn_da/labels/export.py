"""Corrected annotation files, and labels and predictions in cleanlab's form."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .identity import file_sha256
from .store import RelabelStore


def corrected_coco(store: RelabelStore, dataset: str, proposed: bool = False) -> dict[str, Any]:
    """Return a data set's COCO JSON with corrected categories; the file itself stays as it is.

    Only ``category_id`` of corrected annotations differs; "info" says where it comes from.

    Args:
        store: of corrections.
        dataset: name of a data set of the store.
        proposed: with what is only proposed, too.

    Raises:
        KeyError: the store has no such data set.
        ValueError: the data set has no annotation file, or the file is no longer the same.
    """
    identity = next((d for d in store.datasets if d.name == dataset), None)
    if identity is None:
        raise KeyError(f"the journal is of {[d.name for d in store.datasets]}, not of '{dataset}'")
    if not identity.file:
        raise ValueError(f"dataset '{dataset}' has no COCO file to correct")
    if file_sha256(identity.file) != identity.sha256:
        raise ValueError(
            f"{identity.file} has changed since the journal was written: restore it, or export "
            "from a new journal"
        )
    with open(identity.file, encoding="utf-8") as file:
        data = json.load(file)
    ids = {category["name"]: category["id"] for category in data["categories"]}
    corrections = {
        key[1]: name for key, name in store.corrections(proposed).items() if key[0] == dataset
    }
    for annotation in data["annotations"]:
        if annotation["id"] in corrections:
            annotation["category_id"] = ids[corrections[annotation["id"]]]
    info = data.get("info") if isinstance(data.get("info"), dict) else {}
    data["info"] = {
        **info,
        "relabelled": {"annotations": len(corrections), "sha256_before": identity.sha256},
    }
    return data


def to_cleanlab(
    records: Sequence[Mapping[str, Any]],
    detections: Sequence[Mapping[str, np.ndarray]],
    num_classes: int,
) -> tuple[list[dict[str, Any]], list[np.ndarray]]:
    """Return labels and predictions as ``cleanlab.object_detection`` takes them.

    Args:
        records: detectron2 data set dicts; boxes as x, y, width, height.
        detections: of each record, as for :func:`drfpn_da.labels.audit_picture`.
        num_classes: K.

    Returns:
        Labels, dicts of "bboxes" (G, 4) as x0, y0, x1, y1 and "labels" (G,), and predictions,
        object arrays of K arrays (D, 5) with x0, y0, x1, y1 and score. Crowds are left out.
    """
    labels, predictions = [], []
    for record, found in zip(records, detections):
        kept = [a for a in record.get("annotations", []) if not a.get("iscrowd", 0)]
        boxes = np.array([a["bbox"] for a in kept], dtype=np.float64).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        classes = np.array([a["category_id"] for a in kept], dtype=np.int64)
        labels.append({"bboxes": boxes, "labels": classes, "image_name": record["file_name"]})
        by_class = np.empty(num_classes, dtype=object)
        rows = np.concatenate([found["boxes"], found["scores"][:, None]], axis=1)
        for c in range(num_classes):
            by_class[c] = rows[found["classes"] == c].astype(np.float64)
        predictions.append(by_class)
    return labels, predictions
