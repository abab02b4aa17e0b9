"""Suspicious annotations of a picture, judged by a detector's predictions on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

import numpy as np
import torch
from torchvision.ops import box_iou

from .annotations import AnnotationId

KINDS = ("class", "location", "overlooked")


@dataclass(frozen=True)
class Suspect:
    """Something that may be wrong with the labels of a picture.

    Attributes:
        kind: "class" (another class is more probable), "location" (the class is found beside the
            box) or "overlooked" (an object without annotation).
        score: how suspicious, in [0, 1].
        box: of the annotation, or of the overlooked object; absolute x, y, width, height.
        old: given class; None if overlooked.
        new: predicted class.
        p_old: highest score of the given class on the box.
        p_new: highest score of the predicted class.
        annotation_id: None if overlooked.
        found: box predicted instead, if that is what is wrong.
    """

    kind: str
    score: float
    dataset: str
    image_id: Any
    file_name: str
    box: tuple[float, ...]
    old: Optional[str]
    new: str
    p_old: float
    p_new: float
    annotation_id: Optional[AnnotationId] = None
    found: Optional[tuple[float, ...]] = None


@dataclass(frozen=True)
class AuditThresholds:
    """From when on something is suspicious.

    Attributes:
        margin: scores by which another class must exceed the given one, in (0, 1).
        same_iou: predictions from this overlap on are of the annotation.
        score: predictions from this score on count for "location" and "overlooked".
        badly_located: highest overlap at which the class, though found, is beside the box.
        apart: predictions that overlap every annotation less are of another object.

    Raises:
        ValueError: a threshold outside [0, 1], or ``apart`` above ``badly_located``.
    """

    margin: float = 0.2
    same_iou: float = 0.5
    score: float = 0.5
    badly_located: float = 0.5
    apart: float = 0.2

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 <= value <= 1:
                raise ValueError(f"threshold {name} is {value}; write a number in [0, 1]")
        if self.apart > self.badly_located:
            raise ValueError(
                f"threshold apart ({self.apart}) is above badly_located ({self.badly_located}): "
                "an object would be both badly located and overlooked"
            )


def audit_picture(
    record: Mapping[str, Any],
    detections: Mapping[str, np.ndarray],
    class_names: Sequence[str],
    ids: Sequence[AnnotationId],
    dataset: str,
    thresholds: AuditThresholds,
) -> list[Suspect]:
    """Return what is suspicious in one picture. Crowds are not judged.

    Args:
        record: detectron2 data set dict; boxes as x, y, width, height.
        detections: "boxes" (D, 4) as x0, y0, x1, y1 in pixels of the picture, "scores" (D,) and
            "classes" (D,), with low scores too and boxes of several classes on one object.
        class_names: in the model's order.
        ids: of the record's annotations.
        dataset: name.
        thresholds: when to suspect.
    """
    annotations = record.get("annotations", [])
    boxes = np.array([a["bbox"] for a in annotations], dtype=np.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    overlap = iou_matrix(boxes, detections["boxes"])
    nearest = overlap >= overlap.max(axis=0, initial=0.0)
    common = {
        "dataset": dataset,
        "image_id": record.get("image_id", record["file_name"]),
        "file_name": record["file_name"],
    }
    suspects = []
    for i, annotation in enumerate(annotations):
        if annotation.get("iscrowd", 0):
            continue
        given = int(annotation["category_id"])
        found = _judge(overlap[i], nearest[i], detections, given, thresholds)
        if found is not None:
            kind, score, new, p_old, p_new, where = found
            suspects.append(
                Suspect(
                    kind=kind,
                    score=score,
                    box=xywh(boxes[i]),
                    old=class_names[annotation["category_id"]],
                    new=class_names[new],
                    p_old=p_old,
                    p_new=p_new,
                    annotation_id=ids[i],
                    found=where,
                    **common,
                )
            )
    for d in _overlooked(overlap, detections, thresholds):
        score, name = float(detections["scores"][d]), class_names[detections["classes"][d]]
        box = xywh(detections["boxes"][d])
        suspects.append(
            Suspect(
                "overlooked", score, box=box, old=None, new=name, p_old=0.0, p_new=score, **common
            )
        )
    return suspects


def iou_matrix(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the (N, M) overlaps of (N, 4) and (M, 4) boxes as x0, y0, x1, y1; 0 of empty ones."""
    overlap = box_iou(*(torch.as_tensor(boxes, dtype=torch.float64) for boxes in (first, second)))
    return overlap.nan_to_num(0.0).numpy()


def xywh(box: np.ndarray) -> tuple[float, ...]:
    """Return x, y, width, height of x0, y0, x1, y1."""
    return (float(box[0]), float(box[1]), float(box[2] - box[0]), float(box[3] - box[1]))


def _judge(
    overlap: np.ndarray,
    nearest: np.ndarray,
    detections: Mapping[str, np.ndarray],
    given: int,
    limits: AuditThresholds,
) -> Optional[tuple[str, float, int, float, float, Optional[tuple[float, ...]]]]:
    """Judge one annotation.

    Args:
        overlap: (D,) of the predictions with it.
        nearest: (D,), false for a prediction that overlaps another annotation more: that one, not
            this, may be what it is of, so that it speaks for this label, never against it.
        detections: of the picture.
        given: class.
        limits: when to suspect.
    """
    scores, classes = detections["scores"], detections["classes"]
    here = overlap >= limits.same_iou
    p_old = float(scores[here & (classes == given)].max(initial=0.0))
    own = here & nearest
    best = {int(c): float(scores[own & (classes == c)].max()) for c in np.unique(classes[own])}
    if best:
        new = min(best, key=lambda c: (-best[c], c))
        if new != given and best[new] - p_old > limits.margin:
            return "class", best[new] - p_old, new, p_old, best[new], None
    sure = (classes == given) & (scores >= limits.score)
    if (sure & nearest).any() and not (sure & (overlap >= limits.badly_located)).any():
        near = int(np.argmax(np.where(sure & nearest, overlap, -1.0)))
        if overlap[near] >= limits.apart:
            score = float(scores[near] * (1 - overlap[near]))
            where = xywh(detections["boxes"][near])
            return "location", score, given, p_old, float(scores[near]), where
    return None


def _overlooked(
    overlap: np.ndarray, detections: Mapping[str, np.ndarray], limits: AuditThresholds
) -> list[int]:
    """Return confident predictions apart from every annotation, the best of each place."""
    nearest = overlap.max(axis=0) if len(overlap) else np.zeros(len(detections["scores"]))
    chosen: list[int] = []
    for d in np.argsort(-detections["scores"], kind="stable"):
        if detections["scores"][d] < limits.score or nearest[d] >= limits.apart:
            continue
        box = detections["boxes"][d : d + 1]
        if chosen and iou_matrix(box, detections["boxes"][chosen]).max() >= limits.same_iou:
            continue
        chosen.append(int(d))
    return chosen
