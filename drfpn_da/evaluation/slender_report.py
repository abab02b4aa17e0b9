"""Scores by bin: computed from annotations and detections, named, and written as tables."""

from __future__ import annotations

import logging
import math
import warnings
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from tabulate import tabulate

from .slender_bins import Bin
from .slender_matching import Annotations, Detections, find_overlaps, match
from .slender_metrics import THRESHOLDS, PrecisionRecall, precision_recall
from .slender_recall import best_overlaps, mean_recall

ALL = "all"
# Indices of the overlaps 0.5 and 0.75 among the thresholds.
AT_50, AT_75 = 0, 5


@dataclass
class SlenderScores:
    """Scores of one task by subset of the annotations: all, then the bins."""

    subsets: tuple[str, ...]
    #: Those among the subsets that are bins of slenderness.
    slenderness_bins: tuple[str, ...]
    class_names: tuple[str, ...]
    #: Subset -> metric -> percent.
    metrics: dict[str, dict[str, float]]
    #: (K, A) percent and number of annotations, by class and subset.
    class_ap: np.ndarray
    counts: np.ndarray

    def results(self) -> dict[str, float]:
        """Return everything in one dict: "AP", "AP-XS", "count-XS", "AP-XS-<class>", ..."""
        flat: dict[str, float] = OrderedDict()
        for a, subset in enumerate(self.subsets):
            suffix = "" if subset == ALL else f"-{subset}"
            for metric, value in self.metrics[subset].items():
                flat[f"{metric}{suffix}"] = value
            flat[f"count{suffix or '-' + ALL}"] = int(self.counts[:, a].sum())
        if len(self.class_names) > 1:
            for subset in self.slenderness_bins:
                values = self.class_ap[:, self.subsets.index(subset)]
                for name, value in zip(self.class_names, values.tolist()):
                    flat[f"AP-{subset}-{name}"] = value
        return flat


def score_bins(
    truth: Annotations,
    found: Detections,
    known: Mapping[tuple[int, int], np.ndarray],
    *,
    bins: Sequence[Bin],
    aspect_bins: Sequence[Bin],
    truth_measures: Sequence[np.ndarray],
    found_measures: Sequence[np.ndarray],
    class_names: Sequence[str],
    legacy_fp_rule: bool = False,
    limits: tuple[int, ...] = (1, 10, 100),
) -> SlenderScores:
    """Score detections over all annotations and by bin.

    Args:
        truth: annotations.
        found: detections.
        known: their overlaps, see ``find_overlaps``.
        bins: of the first measure.
        aspect_bins: of the second measure.
        truth_measures: slenderness and width over height of the annotations.
        found_measures: the same of the detections.
        class_names: of the classes, by index.
        legacy_fp_rule: detections leave the bins of slenderness by their width over height.
        limits: numbers of detections per image and class.
    """
    overlaps = find_overlaps(truth, found, known, THRESHOLDS[0], limits[-1])
    inside = [np.ones(len(overlaps.truth), dtype=bool)]
    outside = [np.zeros(len(overlaps.found), dtype=bool)]
    for these, true_values, found_values in zip(
        (bins, aspect_bins), truth_measures, found_measures
    ):
        legacy = legacy_fp_rule and these is bins
        found_values = (found_measures[1] if legacy else found_values)[overlaps.found_order]
        for this in these:
            inside.append(this.contains(true_values[overlaps.truth_order]))
            contains = this.contains_aspect if legacy else this.contains
            outside.append(~contains(found_values))
    counted = np.stack(inside) & ~overlaps.truth.crowd
    matches = match(overlaps, ~counted, THRESHOLDS)
    numbers = precision_recall(
        overlaps, matches, ~counted, np.stack(outside), len(class_names), limits
    )
    recall = mean_recall(
        best_overlaps(overlaps, counted, limits[-1]),
        counted,
        overlaps.truth.category,
        len(class_names),
        THRESHOLDS,
    )
    subsets = (ALL, *(this.name for this in (*bins, *aspect_bins)))
    metrics = {name: _metrics(numbers, recall, a, limits) for a, name in enumerate(subsets)}
    class_ap = _mean(numbers.precision, axis=(0, 1))
    return SlenderScores(
        subsets,
        tuple(this.name for this in bins),
        tuple(class_names),
        metrics,
        100 * class_ap,
        numbers.counts,
    )


def _metrics(
    numbers: PrecisionRecall, recall: np.ndarray, a: int, limits: tuple[int, ...]
) -> dict[str, float]:
    precision = numbers.precision[..., a]
    values = {
        "AP": _mean(precision),
        "AP50": _mean(precision[AT_50]),
        "AP75": _mean(precision[AT_75]),
        **{f"AR@{n}": _mean(numbers.recall[:, :, a, m]) for m, n in enumerate(limits)},
        "mAR": _mean(recall[a]),
    }
    return {name: 100 * float(value) for name, value in values.items()}


def _mean(values: np.ndarray, axis: tuple[int, ...] | None = None) -> np.ndarray:
    """The mean without NaN; NaN where there is nothing else."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.nanmean(values, axis=axis)


def log_scores(logger: logging.Logger, task: str, scores: SlenderScores) -> None:
    """Log the scores by bin, and by class and bin of slenderness."""
    rows = []
    for a, subset in enumerate(scores.subsets):
        row = {"bin": subset, "annotations": int(scores.counts[:, a].sum())}
        rows.append({**row, **scores.metrics[subset]})
    logger.info("%s by slenderness:\n%s", task, _table(rows))
    if len(scores.class_names) <= 1:
        return
    rows = []
    for k, name in enumerate(scores.class_names):
        row = {"class": name}
        for subset in scores.slenderness_bins:
            a = scores.subsets.index(subset)
            row[f"{subset} annotations"] = int(scores.counts[k, a])
            row[f"{subset} AP"] = scores.class_ap[k, a]
        rows.append(row)
    logger.info("%s AP by class and slenderness:\n%s", task, _table(rows))


def _table(rows: list[dict]) -> str:
    shown = [
        {k: "-" if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()}
        for row in rows
    ]
    return tabulate(shown, headers="keys", tablefmt="pipe", floatfmt=".2f")
