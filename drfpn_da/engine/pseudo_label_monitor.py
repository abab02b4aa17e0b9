"""How good the labels of a teacher are while it teaches, where true labels exist."""

from __future__ import annotations

import logging
import math
from functools import partial
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode
from detectron2.data import build_detection_test_loader
from detectron2.engine import HookBase
from detectron2.evaluation import inference_context, inference_on_dataset
from detectron2.utils import comm
from torch import Tensor

from ..data.validate import check_classes
from ..evaluation import DenseLabelQualityEvaluator, PseudoLabelQualityEvaluator
from ..modeling import AdaptiveModel
from ..objectives import DensePseudoLabel, PseudoLabel
from ..visualization import plot_reliability, save_picture
from .step import unwrap

logger = logging.getLogger(__name__)


class PseudoLabelMonitor(HookBase):
    """Compares the teacher's labels with true ones as scalars ``pseudo_label_quality/*``.

    The first round is before the first step of self-training; stickiness refers to it. Labels from
    files are measured as their labeller would write them now. Each round
    writes a reliability diagram into the run's folder. Training is not changed by a bit.

    Args:
        dataset: registered, with labels.
        loader: of its pictures, as for evaluation.
        period: iterations between two rounds.
        folder: of the run.
    """

    def __init__(self, dataset: str, loader: Any, period: int, folder: str) -> None:
        self._dataset, self._loader = dataset, loader
        self._period, self._folder = period, folder
        self._first: dict[Any, Tensor] = {}

    @classmethod
    def from_config(cls, cfg: CfgNode) -> PseudoLabelMonitor:
        """Read ``MODEL.PSEUDO_LABEL.MONITOR``.

        Raises:
            KeyError: the data set is not registered.
            ValueError: there is no period, or the data set's classes are not the model's.
        """
        node = cfg.MODEL.PSEUDO_LABEL.MONITOR
        sets = [*cfg.DATASETS.TRAIN, node.DATASET]
        check_classes(cfg, sets, "MODEL.PSEUDO_LABEL.MONITOR.DATASET")
        period = node.PERIOD or cfg.TEST.EVAL_PERIOD
        if period < 1:
            raise ValueError(
                "MODEL.PSEUDO_LABEL.MONITOR.PERIOD and TEST.EVAL_PERIOD are both 0: write after "
                "how many iterations the labels are measured"
            )
        loader = build_detection_test_loader(cfg, node.DATASET)
        return cls(node.DATASET, loader, period, cfg.OUTPUT_DIR)

    def before_train(self) -> None:
        """Find the objective whose labels are measured.

        Raises:
            ValueError: no objective makes pseudo-labels.
        """
        model = unwrap(self.trainer.model)
        objectives = list(model.objectives.values()) if isinstance(model, AdaptiveModel) else []
        found = [o for o in objectives if isinstance(o, (PseudoLabel, DensePseudoLabel))]
        stored = bool(found) and getattr(found[0], "stored", False)
        if not found or (model.teacher is None and not stored):
            raise ValueError(
                "MODEL.PSEUDO_LABEL.MONITOR measures labels of a teacher, but no objective makes "
                "any: write DATASET '', or add PseudoLabel or DensePseudoLabel to "
                "MODEL.ADAPT.OBJECTIVES"
            )
        self._model: Any = model
        self._objective = found[0]
        self._labeller = "student" if model.teacher is None else "teacher"

    def before_step(self) -> None:
        """Measure the first labels."""
        if self.trainer.iter == self._objective.start_iter:
            self._model.move_teacher(self.trainer.iter)  # to where it will label
            self._measure()

    def after_step(self) -> None:
        """Measure once each period."""
        done = self.trainer.iter + 1
        if done > self._objective.start_iter and done % self._period == 0:
            self._measure()

    def state_dict(self) -> dict[str, Any]:
        """Return the wrong labels of the first round."""
        return {"first": dict(self._first)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self._first = dict(state["first"])

    def _measure(self) -> None:
        evaluator: Any
        statistics: Any = self._objective.statistics
        if isinstance(self._objective, DensePseudoLabel):
            evaluator = DenseLabelQualityEvaluator(
                self._dataset, statistics.threshold, first=self._first
            )
        else:
            evaluator = PseudoLabelQualityEvaluator(
                self._dataset, statistics.thresholds().tolist(), first=self._first
            )
        known = set(self._first)
        predict = partial(self._model.predict, by=self._labeller)
        with inference_context(self._model):
            results = inference_on_dataset(predict, self._loader, evaluator)
        # Each process sees its share of the pictures; the main process saves those of all.
        mine = {name: labels for name, labels in self._first.items() if name not in known}
        for part in comm.all_gather(mine):
            self._first.update(part)
        if not comm.is_main_process():
            return
        values = {k: v for k, v in results["pseudo_label"].items() if math.isfinite(v)}
        logger.info("Labels of '%s': %s", self._dataset, values)
        self.trainer.storage.put_scalars(
            **{f"pseudo_label_quality/{key}": value for key, value in values.items()},
            smoothing_hint=False,
        )
        if evaluator.reliability:
            number = self.trainer.iter
            picture = plot_reliability({f"iteration {number}": evaluator.reliability})
            name = f"pseudo_label_reliability_{number:07d}.png"
            save_picture(picture, Path(self._folder) / name)


def build_pseudo_label_monitors(cfg: CfgNode) -> list[HookBase]:
    """Return the hook that ``MODEL.PSEUDO_LABEL.MONITOR`` asks for, or nothing."""
    if not cfg.MODEL.PSEUDO_LABEL.MONITOR.DATASET:
        return []
    return [PseudoLabelMonitor.from_config(cfg)]
