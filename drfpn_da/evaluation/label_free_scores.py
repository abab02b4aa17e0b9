"""Sums from predictions alone, and the scores made of them; see :class:`LabelFreeEvaluator`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Optional

import torch
from detectron2.structures import Instances, pairwise_iou
from torch import Tensor

#: Two detections are the same object from this intersection over union on.
SAME_OBJECT = 0.5
#: Score -> whether the better model has more ("max") or less ("min") of it. Other scores, such as
#: the number of detections, do not tell the better model.
SELECTION_MODES = {
    "confidence": "max",
    "entropy": "min",
    "entropy_per_picture": "min",
    "agreement": "max",
    "stability": "max",
    "pixel_confidence": "max",
    "pixel_entropy": "min",
    "pixel_agreement": "max",
}
_GROUP = "label_free"
# Of these, another prediction of the same picture is needed.
_COMPARED = ("agreement", "stability", "pixel_agreement")


def selection_mode(metric: str) -> str:
    """Return "max" or "min": which value of a metric the better model has.

    Args:
        metric: as in ``TEST.BEST_METRIC``, such as "bbox/AP" or "label_free/entropy".

    Raises:
        ValueError: a label-free score that does not tell the better model.
    """
    if not is_label_free(metric):
        return "max"
    name = metric.rpartition("/")[2]
    if name not in SELECTION_MODES:
        raise ValueError(
            f"TEST.BEST_METRIC is '{metric}', of which neither more nor less is better; choose one "
            f"of {', '.join(f'{_GROUP}/{known}' for known in SELECTION_MODES)}"
        )
    return SELECTION_MODES[name]


def is_label_free(metric: str) -> bool:
    """Return whether a metric's group is that of the scores without labels."""
    return metric.rpartition("/")[0].rpartition("/")[2].startswith(_GROUP)


def needs_other_evaluation(metric: str) -> bool:
    """Return whether a metric compares two predictions of each picture."""
    return is_label_free(metric) and metric.rpartition("/")[2] in _COMPARED


def binary_entropy(probability: Tensor) -> Tensor:
    """Return the entropy in bits of events with these probabilities: 1 at 0.5, 0 at 0 and 1."""
    p = probability.double()
    return (torch.special.entr(p) + torch.special.entr(1 - p)) / math.log(2)


def match_instances(
    first: Instances, second: Instances, threshold: float = SAME_OBJECT
) -> tuple[Tensor, Tensor, Tensor]:
    """Pair detections of the same class, those that overlap most first, each at most once.

    Args:
        first: detections with ``pred_boxes`` and ``pred_classes``.
        second: other detections on the same picture.
        threshold: least intersection over union of a pair.

    Returns:
        Indices into the first and into the second, and the overlaps, each (pairs,).
    """
    overlap = pairwise_iou(first.pred_boxes, second.pred_boxes)
    overlap = overlap * (first.pred_classes[:, None] == second.pred_classes[None])
    rows, columns = (overlap >= threshold).nonzero(as_tuple=True)
    order = overlap[rows, columns].argsort(descending=True, stable=True).tolist()
    free_rows, free_columns, pairs = set(rows.tolist()), set(columns.tolist()), []
    for row, column in zip(rows[order].tolist(), columns[order].tolist()):
        if row in free_rows and column in free_columns:
            free_rows.remove(row)
            free_columns.remove(column)
            pairs.append((row, column))
    chosen = torch.tensor(pairs, dtype=torch.long, device=overlap.device).reshape(-1, 2)
    return chosen[:, 0], chosen[:, 1], overlap[chosen[:, 0], chosen[:, 1]]


def instance_sums(
    first: Instances, second: Optional[Instances], score_threshold: float
) -> dict[str, float]:
    """Return the sums of one picture's detections; ``class <i>`` counts those of class i.

    Args:
        first: detections with ``pred_boxes``, ``pred_classes`` and ``scores`` in [0, 1].
        second: another prediction of the same picture, or None.
        score_threshold: detections below it are left out, in both.
    """
    first = first[first.scores >= score_threshold]
    sums = {
        "pictures": 1.0,
        "detections": float(len(first)),
        "confidence": float(first.scores.double().sum()),
        "entropy": float(binary_entropy(first.scores).sum()),
    }
    for label in first.pred_classes.tolist():
        sums[f"class {label}"] = sums.get(f"class {label}", 0.0) + 1
    if second is not None:
        second = second[second.scores >= score_threshold]
        rows, columns, overlaps = match_instances(first, second)
        agreed = first.scores[rows].double().sum() + second.scores[columns].double().sum()
        sums["agreed"] = float(agreed)
        sums["weight"] = sums["confidence"] + float(second.scores.double().sum())
        sums["pairs"] = float(len(rows))
        sums["overlap"] = float(overlaps.double().sum())
    return sums


def pixel_sums(first: Tensor, second: Optional[Tensor]) -> dict[str, float]:
    """Return the sums of one picture's semantic segmentation; see :func:`instance_sums`.

    Args:
        first: (C, H, W) logits, C > 1, as detectron2's heads return them.
        second: another prediction of the same picture, or None.
    """
    probability = first.float().softmax(dim=0)
    confidence, label = probability.max(dim=0)
    entropy = torch.special.entr(probability).sum(dim=0) / math.log(len(probability))
    sums = {
        "pixels": float(label.numel()),
        "pixel_confidence": float(confidence.double().sum()),
        "pixel_entropy": float(entropy.double().sum()),
    }
    for index, count in enumerate(label.flatten().bincount(minlength=len(probability)).tolist()):
        sums[f"pixel class {index}"] = float(count)
    if second is not None:
        other, other_label = second.float().softmax(dim=0).max(dim=0)
        weight = (confidence + other).double()
        sums["pixel_agreed"] = float(weight[label == other_label].sum())
        sums["pixel_weight"] = float(weight.sum())
    return sums


def instance_scores(sums: Mapping[str, float], class_names: list[str]) -> dict[str, float]:
    """Return the scores of a data set's sums of detections; NaN where nothing was detected."""
    scores = {
        "confidence": _ratio(sums, "confidence", "detections"),
        "entropy": _ratio(sums, "entropy", "detections"),
        "entropy_per_picture": _ratio(sums, "entropy", "pictures"),
        "detections": _ratio(sums, "detections", "pictures"),
    }
    if "weight" in sums:
        scores["agreement"] = _ratio(sums, "agreed", "weight")
        scores["stability"] = _ratio(sums, "overlap", "pairs")
    for index, name in enumerate(class_names):
        scores[f"share-{name}"] = _ratio(sums, f"class {index}", "detections")
    return scores


def pixel_scores(sums: Mapping[str, float], class_names: list[str]) -> dict[str, float]:
    """Return the scores of a data set's sums of pixels."""
    scores = {
        "pixel_confidence": _ratio(sums, "pixel_confidence", "pixels"),
        "pixel_entropy": _ratio(sums, "pixel_entropy", "pixels"),
    }
    if "pixel_weight" in sums:
        scores["pixel_agreement"] = _ratio(sums, "pixel_agreed", "pixel_weight")
    for index, name in enumerate(class_names):
        scores[f"pixel_share-{name}"] = _ratio(sums, f"pixel class {index}", "pixels")
    return scores


def _ratio(sums: Mapping[str, float], part: str, whole: str) -> float:
    return sums.get(part, 0.0) / sums[whole] if sums.get(whole) else math.nan
