"""Depth metrics of a data set."""

from __future__ import annotations

import logging
from collections import OrderedDict
from typing import Any

import numpy as np
import torch
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm
from PIL import Image
from torch import Tensor

from ..functional import DEPTH_METRICS, depth_errors, median_scale
from .label_free_correlation import spearman

logger = logging.getLogger(__name__)

#: Fields of a record that say how deep a picture is.
TRUTH = ("disparity_file_name", "disparity_scale", "baseline", "intrinsics")


class DepthEvaluator(DatasetEvaluator):
    """Compares predicted depth with the data set's disparity, picture by picture.

    Each prediction is first multiplied by the ratio of medians, true over predicted: depth learnt
    from video has no unit. Pixels without a true depth in ``[min_depth, max_depth]`` count nowhere;
    predictions are clamped to the same range. Every metric is the mean over pictures.

    Beside those of :func:`drfpn_da.functional.depth_errors` there are "RankCorrelation", Spearman's
    between predicted and true depth (0 where one is constant), and "ScaleSpread", the standard
    deviation of the ratios over their median, 0 if all pictures have one unit.

    Args:
        dataset_name: for messages.
        distributed: gather the results of all processes.
        min_depth: in the truth's unit, metres.
        max_depth: in the truth's unit.
    """

    def __init__(
        self,
        dataset_name: str,
        distributed: bool = True,
        min_depth: float = 1e-3,
        max_depth: float = 80.0,
    ) -> None:
        self._dataset_name = dataset_name
        self._distributed = distributed
        self._range = (min_depth, max_depth)
        self.reset()

    def reset(self) -> None:
        """Forget all pictures."""
        self._rows: list[dict[str, float]] = []

    def process(self, inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> None:
        """Measure pictures.

        Args:
            inputs: records with the fields of :data:`TRUTH`.
            outputs: each with "depth", (H, W) of the record's size.

        Raises:
            ValueError: a record without true disparity, or a size that differs.
        """
        for record, output in zip(inputs, outputs):
            truth = read_true_depth(record)
            prediction = output["depth"].to("cpu", torch.float64)
            if prediction.shape != truth.shape:
                raise ValueError(
                    f"{record['disparity_file_name']} has {truth.shape[1]}x{truth.shape[0]} "
                    f"pixels, the prediction {prediction.shape[1]}x{prediction.shape[0]}: the "
                    "disparity must have the size of its picture"
                )
            low, high = self._range
            valid = (truth >= low) & (truth <= high)
            if not valid.any():
                logger.warning(
                    "%s has no depth from %g to %g and is left out.",
                    record["disparity_file_name"],
                    low,
                    high,
                )
                continue
            self._rows.append(self._measure(prediction[valid], truth[valid]))

    def _measure(self, prediction: Tensor, truth: Tensor) -> dict[str, float]:
        ratio = median_scale(prediction, truth)
        errors = depth_errors((prediction * ratio).clamp(*self._range), truth)
        correlation = np.nan_to_num(spearman(prediction.numpy(), truth.numpy()))
        measured = {name: float(value) for name, value in errors.items()}
        return {**measured, "RankCorrelation": float(correlation), "ratio": float(ratio)}

    def evaluate(self) -> OrderedDict | None:
        """Return ``{"depth": {metric: value}}`` on the main process, None on the others.

        Raises:
            ValueError: no picture could be measured.
        """
        parts = comm.gather(self._rows) if self._distributed else [self._rows]
        if not parts:
            return None
        rows = [row for part in parts for row in part]
        if not rows:
            raise ValueError(f"data set '{self._dataset_name}' has no picture with a true depth")
        names = (*DEPTH_METRICS, "RankCorrelation")
        result = {name: float(np.mean([row[name] for row in rows])) for name in names}
        ratios = np.array([row["ratio"] for row in rows])
        result["ScaleSpread"] = float(np.std(ratios / np.median(ratios)))
        logger.info("Depth of %d pictures of '%s': %s", len(rows), self._dataset_name, result)
        return OrderedDict(depth=result)


def read_true_depth(record: dict[str, Any]) -> Tensor:
    """Return the (H, W) true depth of a record, float64, in the unit of its baseline.

    ``depth = fx * baseline * disparity_scale / stored``; infinite where 0 is stored.

    Raises:
        ValueError: the record lacks a field of :data:`TRUTH`.
    """
    missing = [key for key in TRUTH if record.get(key) is None]
    if missing:
        raise ValueError(
            f"{record.get('file_name')}: the record has no {', no '.join(missing)}, so its depth "
            "cannot be measured; evaluate depth on a data set with disparity"
        )
    with Image.open(record["disparity_file_name"]) as file:
        stored = torch.from_numpy(np.asarray(file).astype(np.float64))
    focal = float(record["intrinsics"][0][0])
    return focal * float(record["baseline"]) * float(record["disparity_scale"]) / stored
