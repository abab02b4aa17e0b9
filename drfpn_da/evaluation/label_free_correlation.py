"""Rank correlation of scores without labels with the true quality of checkpoints."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..visualization import curve, read_metrics
from .label_free_scores import SELECTION_MODES, is_label_free

Records = Sequence[Mapping[str, float]]


@dataclass(frozen=True)
class ScoreQuality:
    """Rank correlations of one score on one or several runs.

    Attributes:
        evaluations: in which both score and truth are finite, over all runs.
        correlation: rank correlation with the truth over the evaluations of all runs together.
        per_run: rank correlation within each run; NaN with fewer than three evaluations.
        regret: by how much the truth of the evaluation that the score chooses in a run stays below
            that of the run's best, averaged over runs; NaN for scores without a better direction.
    """

    evaluations: int
    correlation: float
    per_run: tuple[float, ...]
    regret: float


def spearman(x: np.ndarray, y: np.ndarray) -> float:
    """Return Spearman's rank correlation; equal values share the mean of their ranks.

    NaN with fewer than three values, or if all values of one are equal.

    Args:
        x: (N,) values.
        y: (N,) values.
    """
    if len(x) < 3:
        return float("nan")
    a, b = (rank - rank.mean() for rank in (_ranks(x), _ranks(y)))
    scale = np.sqrt((a * a).sum() * (b * b).sum())
    return float((a * b).sum() / scale) if scale else float("nan")


def rank_correlations(
    runs: Sequence[str | os.PathLike | Records], dataset: str = "", truth: str = "bbox/AP"
) -> dict[str, ScoreQuality]:
    """Compare the label-free scores logged in runs with a true metric of the same evaluations.

    The sign is such that 1 is the correlation of a perfect criterion, also for scores of which less
    is better; scores without a better direction keep their own sign.

    Args:
        runs: paths of ``metrics.json`` files, or what :func:`read_metrics` returned.
        dataset: test set, if the runs have several.
        truth: metric with labels, more being better.

    Returns:
        Score, such as "label_free/agreement", to its quality.

    Raises:
        ValueError: no run has both the true metric and a score.
    """
    prefix = f"{dataset}/" if dataset else ""
    histories = [read_metrics(run) if isinstance(run, (str, os.PathLike)) else run for run in runs]
    depth = prefix.count("/") + 1
    keys = sorted(
        {
            key
            for history in histories
            for record in history
            for key in record
            if key.startswith(prefix) and key.count("/") == depth and is_label_free(key)
        }
    )
    found = {key[len(prefix) :]: _quality(histories, key, prefix + truth) for key in keys}
    found = {key: quality for key, quality in found.items() if quality.evaluations}
    if not found:
        raise ValueError(
            f"no evaluation has both '{prefix}{truth}' and a score '{prefix}label_free/...': train "
            "with TEST.LABEL_FREE.ENABLED True and TEST.EVAL_PERIOD, and if there are several test "
            "sets, name one"
        )
    return found


def _quality(histories: Sequence[Records], score: str, truth: str) -> ScoreQuality:
    mode = SELECTION_MODES.get(score.rpartition("/")[2])
    sign = -1.0 if mode == "min" else 1.0
    pairs = []
    for history in histories:
        at, values = curve(history, score)
        at_true, truths = curve(history, truth)
        _, ours, theirs = np.intersect1d(at, at_true, return_indices=True)
        if len(ours):
            pairs.append((sign * values[ours], truths[theirs]))
    if not pairs:
        return ScoreQuality(0, float("nan"), (), float("nan"))
    all_scores, all_truths = (np.concatenate(part) for part in zip(*pairs))
    regrets = [truths.max() - truths[values.argmax()] for values, truths in pairs]
    return ScoreQuality(
        evaluations=len(all_scores),
        correlation=spearman(all_scores, all_truths),
        per_run=tuple(spearman(values, truths) for values, truths in pairs),
        regret=float(np.mean(regrets)) if mode else float("nan"),
    )


def _ranks(values: np.ndarray) -> np.ndarray:
    _, groups, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = counts.cumsum()
    ranks: np.ndarray = (last - (counts - 1) / 2)[groups]
    return ranks
