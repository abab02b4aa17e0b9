"""Scores of a model on pictures without labels, to choose a checkpoint or a setting by."""

from __future__ import annotations

import logging
from collections import Counter, OrderedDict
from typing import Any

from detectron2.data import MetadataCatalog
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm

from .label_free_scores import instance_scores, instance_sums, pixel_scores, pixel_sums

logger = logging.getLogger(__name__)

#: Key of an output under which another prediction of the same picture lies.
OTHER_EVALUATION = "other_evaluation"


class LabelFreeEvaluator(DatasetEvaluator):
    r"""Scores a model by its predictions alone; no label is read.

    Of detections with a score s of at least the threshold, over the whole data set:

    - ``confidence``: mean s.
    - ``entropy``: mean :math:`-s \log_2 s - (1 - s) \log_2 (1 - s)`; ``entropy_per_picture``: its
      sum over the detections of a picture, averaged over pictures. Little entropy on the target as
      a criterion: Morerio et al., arXiv 1711.10288. A model that finds nothing has none per
      picture, and a NaN for every mean over detections.
    - ``detections`` per picture, and ``share-<class>`` of them: to see a model collapse.

    If outputs hold another prediction of the same picture under :data:`OTHER_EVALUATION` (of a mean
    teacher, or on the mirrored picture), detections of both with scores s and t are paired by class
    and an intersection over union of at least 0.5, P being the pairs:

    - ``agreement``: :math:`\sum_{(i, j) \in P} (s_i + t_j) / (\sum_i s_i + \sum_j t_j)`, the F1
      score of one prediction against the other in which every detection counts as much as it is
      confident: 1 if they agree, 0 if no pair is found.
    - ``stability``: mean intersection over union of the pairs.

    Stability of predictions under a perturbation as a criterion: arXiv 2403.13803 (boxes under
    dropout of features) and arXiv 2412.17284 (boxes and classes under perturbed weights).

    Of semantic segmentation: ``pixel_confidence`` (mean greatest probability), ``pixel_entropy``
    (mean entropy over that of C equally probable classes), ``pixel_share-<class>``, and
    ``pixel_agreement``: the share of pixels with the same class in both predictions, a pixel
    weighted by the sum of its two confidences.

    Args:
        dataset_name: its metadata may have class names; shares are numbered without them.
        score_threshold: detections below it are left out.
        distributed: gather the results of all processes.
    """

    def __init__(
        self, dataset_name: str, score_threshold: float = 0.3, distributed: bool = True
    ) -> None:
        self._dataset_name = dataset_name
        self._threshold = score_threshold
        self._distributed = distributed
        self.reset()

    def reset(self) -> None:
        """Forget all predictions."""
        self._sums: Counter[str] = Counter()

    def process(self, inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> None:
        """Add the predictions of some pictures."""
        for output in outputs:
            other = output.get(OTHER_EVALUATION, {})
            if "instances" in output:
                pair = output["instances"], other.get("instances")
                self._sums.update(instance_sums(*pair, self._threshold))
            if "sem_seg" in output:
                self._sums.update(pixel_sums(output["sem_seg"], other.get("sem_seg")))

    def evaluate(self) -> OrderedDict | None:
        """Return ``{"label_free": {score: value}}`` on the main process, None elsewhere."""
        parts = comm.gather(self._sums) if self._distributed else [self._sums]
        if not parts:
            return None
        sums: Counter[str] = Counter()
        for part in parts:
            sums.update(part)
        scores: dict[str, float] = {}
        if "pictures" in sums:
            scores.update(instance_scores(sums, self._class_names("thing_classes", "class", sums)))
        if "pixels" in sums:
            names = self._class_names("stuff_classes", "pixel class", sums)
            scores.update(pixel_scores(sums, names))
        text = ", ".join(f"{k} {v:.4f}" for k, v in scores.items() if "-" not in k)
        logger.info("Without labels, '%s': %s", self._dataset_name, text)
        return OrderedDict(label_free=scores)

    def _class_names(self, field: str, prefix: str, sums: Counter[str]) -> list[str]:
        names = MetadataCatalog.get(self._dataset_name).get(field)
        if names:
            return list(names)
        found = [int(key[len(prefix) :]) for key in sums if key.startswith(f"{prefix} ")]
        return [str(index) for index in range(max(found, default=-1) + 1)]
