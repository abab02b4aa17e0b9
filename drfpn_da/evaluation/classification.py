"""Accuracy and calibration of classes of whole pictures."""

from __future__ import annotations

import logging
from collections import OrderedDict
from typing import Any

import torch
import torch.nn.functional as F
from detectron2.data import MetadataCatalog
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm
from torch import Tensor

from ..functional.label_quality import expected_calibration_error

logger = logging.getLogger(__name__)


class ClassificationEvaluator(DatasetEvaluator):
    """Compares the class of the highest score with the true one.

    Results, in percent: "accuracy"; "class_accuracy", the mean over classes that occur;
    "calibration_error" (15 bins); "accuracy-<class>" of each class that occurs; and, not in
    percent, "log_loss", the mean negative logarithm of the true class's score.

    Args:
        dataset_name: whose metadata have "thing_classes".
        distributed: gather the results of all processes.
    """

    def __init__(self, dataset_name: str, distributed: bool = True) -> None:
        self._dataset_name = dataset_name
        self._distributed = distributed
        self.reset()

    def reset(self) -> None:
        """Forget all pictures."""
        self._scores: list[Tensor] = []
        self._classes: list[int] = []

    def process(self, inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> None:
        """Remember predictions.

        Args:
            inputs: records with "class_id".
            outputs: each with "scores", (C,).

        Raises:
            ValueError: a record has no class, or one beyond the scores.
        """
        for record, output in zip(inputs, outputs):
            scores = output["scores"].to("cpu", torch.float32)
            if not 0 <= record.get("class_id", -1) < len(scores):
                raise ValueError(
                    f"{record.get('file_name')}: class_id is {record.get('class_id')}, the model "
                    f"predicts {len(scores)} classes; evaluate on a data set with a class for each "
                    "picture"
                )
            self._scores.append(scores)
            self._classes.append(record["class_id"])

    def evaluate(self) -> OrderedDict | None:
        """Return ``{"classification": {metric: value}}`` on the main process, None on the others.

        Raises:
            ValueError: there was no picture.
        """
        own = list(zip(self._scores, self._classes))
        parts = comm.gather(own) if self._distributed else [own]
        if not parts:
            return None
        pairs = [pair for part in parts for pair in part]
        if not pairs:
            raise ValueError(f"data set '{self._dataset_name}' has no picture to evaluate on")
        scores = torch.stack([scores for scores, _ in pairs])
        classes = torch.tensor([number for _, number in pairs])
        confidence, predicted = scores.max(dim=1)
        correct = predicted == classes
        names = MetadataCatalog.get(self._dataset_name).thing_classes
        by_class = {
            f"accuracy-{name}": 100 * float(correct[classes == i].float().mean())
            for i, name in enumerate(names)
            if (classes == i).any()
        }
        logs = scores.clamp(min=torch.finfo(torch.float32).tiny).log()
        result = {
            "accuracy": 100 * float(correct.float().mean()),
            "class_accuracy": sum(by_class.values()) / len(by_class),
            "calibration_error": 100 * expected_calibration_error(confidence, correct),
            "log_loss": float(F.nll_loss(logs, classes)),
            **by_class,
        }
        logger.info("%d pictures of '%s': %s", len(pairs), self._dataset_name, result)
        return OrderedDict(classification=result)
