"""Quality of pseudo-labels of detectors, measured against true labels.

Training never sees labels of the target; this measures a teacher on a labelled set of that domain.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import DatasetEvaluator
from detectron2.structures import Boxes, BoxMode, Instances, pairwise_ioa, pairwise_iou
from detectron2.utils import comm
from torch import Tensor

from ..functional.class_prior import prior_regulariser
from ..functional.label_quality import calibration_error, reliability_bins


def match_to_truth(found: Instances, truth: Instances, iou: float = 0.5) -> Tensor:
    """Return for each detection of a picture whether it is right.

    From the highest score down, each takes the annotation of its class, free until then, that
    overlaps it most; it is right if their IoU is at least ``iou``.

    Args:
        found: with ``pred_boxes``, ``pred_classes`` and ``scores``.
        truth: with ``gt_boxes`` and ``gt_classes``.
        iou: in (0, 1].

    Returns:
        (R,) bool.
    """
    right = torch.zeros(len(found), dtype=torch.bool)
    overlaps = pairwise_iou(found.pred_boxes, truth.gt_boxes)
    same = found.pred_classes[:, None] == truth.gt_classes[None]
    overlaps = torch.where(same, overlaps, torch.zeros_like(overlaps))
    if not len(truth):
        return right
    for row in found.scores.argsort(descending=True, stable=True).tolist():
        best = int(overlaps[row].argmax())
        if overlaps[row, best] >= iou:
            right[row] = True
            overlaps[:, best] = 0
    return right


def class_divergence(true: Tensor, pseudo: Tensor) -> float:
    """Return KL(true || pseudo) of class frequencies, in nats; 0 where they are equal.

    Args:
        true: (K,) counts of annotations.
        pseudo: (K,) counts of pseudo-labels. One is added to all counts: classes without any have
            a small frequency, not none.
    """
    p, q = ((counts.double() + 1) / (counts.sum() + len(counts)) for counts in (true, pseudo))
    return float(prior_regulariser(q, p))


def find_again(wrong: Instances, now: Instances, iou: float = 0.5) -> Tensor:
    """Return for each wrong label of a picture whether it is still there.

    Args:
        wrong: with ``pred_boxes`` and ``pred_classes``.
        now: labels of a later time, likewise.
        iou: from which two boxes of one class are the same error.

    Returns:
        (R,) bool.
    """
    if not len(now):
        return torch.zeros(len(wrong), dtype=torch.bool)
    same = wrong.pred_classes[:, None] == now.pred_classes[None]
    return (same & (pairwise_iou(wrong.pred_boxes, now.pred_boxes) >= iou)).any(dim=1)


class PseudoLabelQualityEvaluator(DatasetEvaluator):
    """Precision, recall, calibration and class frequencies of detections above thresholds.

    Results under ``"pseudo_label"``: ``precision``, ``recall``, ``stickiness`` (the share of the
    wrong labels of the first round that are still there, by :func:`find_again`) and
    ``calibration_error`` in percent, ``class_divergence`` in nats, ``boxes_per_picture``; and
    ``precision-<class>`` and ``recall-<class>``. The calibration error is that of all detections,
    the others are of those above the thresholds. Detections that lie on a crowd by half or more,
    and the crowds, count neither way. What has no denominator is NaN.

    Args:
        dataset_name: registered, with boxes and ``thing_classes``.
        thresholds: of the scores; one number, or one for each class.
        iou: from which a detection is right.
        distributed: gather the results of all processes.
        first: wrong labels of the first round by picture, (R, 5) boxes and classes; an empty dict
            is filled. Hand the same dict to the evaluators of later rounds.

    Attributes:
        reliability: of all detections after :meth:`evaluate`; see
            :func:`drfpn_da.functional.reliability_bins`.

    Raises:
        ValueError: thresholds out of [0, 1], or not one for each class.
    """

    def __init__(
        self,
        dataset_name: str,
        thresholds: float | Sequence[float] = 0.8,
        iou: float = 0.5,
        distributed: bool = True,
        first: dict[Any, Tensor] | None = None,
    ) -> None:
        self._first = {} if first is None else first
        self.reliability: list[dict[str, float]] = []
        self._names = list(MetadataCatalog.get(dataset_name).thing_classes)
        given = [thresholds] if isinstance(thresholds, (int, float)) else list(thresholds)
        given = given * len(self._names) if isinstance(thresholds, (int, float)) else given
        if len(given) != len(self._names) or not all(0 <= t <= 1 for t in given):
            raise ValueError(
                f"thresholds are {thresholds}; write one number in [0, 1], or one for each of the "
                f"{len(self._names)} classes of '{dataset_name}'"
            )
        self._thresholds = torch.tensor(given, dtype=torch.float32)
        self._iou = iou
        self._distributed = distributed
        self._records = {
            record["image_id"]: record["annotations"] for record in DatasetCatalog.get(dataset_name)
        }
        self.reset()

    def reset(self) -> None:
        """Forget all pictures."""
        # Of each detection: score, class, is right, is above the threshold.
        self._detections: list[Tensor] = []
        self._true = torch.zeros(len(self._names))
        self._pictures = 0
        # Wrong labels of the first round, and those of them that are there still.
        self._errors = torch.zeros(2)

    def process(self, inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> None:
        """Take pictures with ``image_id`` and what was found in them, ``instances``."""
        for given, output in zip(inputs, outputs):
            found = output["instances"].to("cpu")
            truth, crowds = self._truth(given["image_id"], found.image_size)
            if len(crowds):
                # Share of each detection that lies on a crowd.
                on_crowd = pairwise_ioa(crowds, found.pred_boxes).max(dim=0).values >= 0.5
                found = found[~on_crowd]
            sure = found.scores.float() >= self._thresholds[found.pred_classes]
            # Matched separately: a detection below the threshold must not take an annotation.
            right = match_to_truth(found, truth, self._iou)
            right[sure] = match_to_truth(found[sure], truth, self._iou)
            self._note_errors(given["image_id"], found[sure], right[sure])
            columns = (found.scores, found.pred_classes, right, sure)
            self._detections.append(torch.stack([c.float() for c in columns], dim=1))
            self._true += torch.bincount(truth.gt_classes, minlength=len(self._names))
            self._pictures += 1

    def _note_errors(self, image_id: Any, labels: Instances, right: Tensor) -> None:
        """Count the wrong labels of the first round that are among the labels of now."""
        if image_id not in self._first:
            wrong = labels[~right]
            columns = (wrong.pred_boxes.tensor.float(), wrong.pred_classes[:, None].float())
            self._first[image_id] = torch.cat(columns, dim=1)
        table = self._first[image_id]
        wrong = Instances(
            labels.image_size, pred_boxes=Boxes(table[:, :4]), pred_classes=table[:, 4].long()
        )
        stuck = find_again(wrong, labels, self._iou)
        self._errors += torch.tensor([len(stuck), int(stuck.sum())])

    def _truth(self, image_id: Any, size: tuple[int, int]) -> tuple[Instances, Boxes]:
        boxes, classes, crowds = [], [], []
        for annotation in self._records[image_id]:
            box = BoxMode.convert(annotation["bbox"], annotation["bbox_mode"], BoxMode.XYXY_ABS)
            if annotation.get("iscrowd", 0):
                crowds.append(box)
            else:
                boxes.append(box)
                classes.append(annotation["category_id"])
        truth = Instances(
            size,
            gt_boxes=Boxes(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)),
            gt_classes=torch.tensor(classes, dtype=torch.long),
        )
        return truth, Boxes(torch.tensor(crowds, dtype=torch.float32).reshape(-1, 4))

    def evaluate(self) -> OrderedDict[str, dict[str, float]] | None:
        """Return ``{"pseudo_label": {metric: value}}`` on the main process, None on others."""
        own = (self._detections, self._true, self._pictures, self._errors)
        parts = comm.gather(own) if self._distributed else [own]
        if not parts:
            return None
        found = list(itertools.chain.from_iterable(part[0] for part in parts))
        true = torch.stack([part[1] for part in parts]).sum(dim=0)
        pictures = sum(part[2] for part in parts)
        errors = torch.stack([part[3] for part in parts]).sum(dim=0)
        table = torch.cat([*found, torch.zeros(0, 4)])
        scores, _, right, sure = table.unbind(dim=1)
        above = table[sure.bool()]
        pseudo = torch.bincount(above[:, 1].long(), minlength=len(self._names)).float()
        hits = torch.zeros(len(self._names)).index_add_(0, above[:, 1].long(), above[:, 2])
        self.reliability = reliability_bins(scores, right.bool(), 10)
        result = {
            "precision": _percent(hits.sum(), pseudo.sum()),
            "recall": _percent(hits.sum(), true.sum()),
            "stickiness": _percent(errors[1], errors[0]),
            "calibration_error": 100 * calibration_error(self.reliability),
            "class_divergence": class_divergence(true, pseudo),
            "boxes_per_picture": float(pseudo.sum()) / max(pictures, 1),
        }
        for k, name in enumerate(self._names):
            result[f"precision-{name}"] = _percent(hits[k], pseudo[k])
            result[f"recall-{name}"] = _percent(hits[k], true[k])
        return OrderedDict(pseudo_label=result)


def _percent(part: Tensor, whole: Tensor) -> float:
    return 100 * float(part) / float(whole) if whole else float("nan")
