"""Panoptic evaluation of any dataset with panoptic, or instance and semantic, ground truth."""

from __future__ import annotations

import logging
from collections import OrderedDict
from typing import Any

import numpy as np
from detectron2.data import MetadataCatalog
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm
from tabulate import tabulate

from .panoptic_quality import VOID, PanopticCounts, Segment, count_picture
from .panoptic_truth import PanopticTruth

logger = logging.getLogger(__name__)


class PanopticQualityEvaluator(DatasetEvaluator):
    """PQ, SQ and RQ over all categories, things and stuff.

    The numbers are those of panopticapi, which detectron2's evaluator needs and which is not on
    the package index. Only counts are gathered from the processes, no pictures are written.
    """

    def __init__(self, dataset_name: str, distributed: bool = True) -> None:
        """Read the ground truth records of the dataset."""
        self._metadata = MetadataCatalog.get(dataset_name)
        self._truth = PanopticTruth(dataset_name)
        self._distributed = distributed
        self.reset()

    def reset(self) -> None:
        """Forget all counts."""
        self._counts = PanopticCounts()

    def process(self, inputs: list[dict], outputs: list[dict]) -> None:
        """Count the ``panoptic_seg`` of each output against the truth of its ``image_id``."""
        for record, output in zip(inputs, outputs):
            panoptic_map, infos = output["panoptic_seg"]
            ids = panoptic_map.cpu().numpy().astype(np.int64)
            if infos is None:
                ids, infos = self._split_labels(ids)
            segments = [
                Segment(info["id"], (bool(info["isthing"]), info["category_id"])) for info in infos
            ]
            counted = [s for s in segments if self._truth.is_category(s.category)]
            self._counts.add(count_picture(ids, counted, *self._truth[record["image_id"]]))

    def _split_labels(self, labels: np.ndarray) -> tuple[np.ndarray, list[dict[str, Any]]]:
        """Ids and infos of a map of ``category * label_divisor + instance``, -1 for void."""
        ids = labels + 1
        infos = []
        for label in np.unique(labels[labels >= 0]).tolist():
            category = label // self._metadata.label_divisor
            isthing = self._truth.is_thing(category)
            infos.append({"id": label + 1, "category_id": category, "isthing": isthing})
        return np.where(labels < 0, VOID, ids), infos

    def evaluate(self) -> OrderedDict | None:
        """Return ``{"panoptic_seg": {metric: percent}}`` on the main process, None elsewhere."""
        parts = comm.gather(self._counts) if self._distributed else [self._counts]
        if not parts:
            return None
        counts = PanopticCounts()
        for part in parts:
            counts.add(part)
        groups = {
            name: counts.summary(things)
            for name, things in (("", None), ("_th", True), ("_st", False))
        }
        rows = [
            [title, *summary.values()]
            for title, summary in zip(("All", "Things", "Stuff"), groups.values())
        ]
        table = tabulate(rows, ["", "PQ", "SQ", "RQ", "categories"], "pipe", floatfmt=".3f")
        logger.info("Panoptic quality:\n%s", table)
        metrics = {
            f"{metric}{suffix}": summary[metric]
            for suffix, summary in groups.items()
            for metric in ("PQ", "SQ", "RQ")
        }
        return OrderedDict(panoptic_seg=metrics)
