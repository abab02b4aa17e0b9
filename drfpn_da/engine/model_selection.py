"""Evaluation and choice of the best checkpoint during training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import CfgNode
from detectron2.engine import HookBase, hooks
from detectron2.modeling import GeneralizedRCNN
from torch import nn

from ..evaluation import is_label_free, needs_other_evaluation, selection_mode
from ..modeling import AdaptiveModel, SlidingWindow
from .hooks import BestCheckpointer
from .other_evaluation import WithOtherEvaluation, other_evaluation
from .step import unwrap


def check_evaluation(cfg: CfgNode, model: nn.Module) -> None:
    """Check before training that the model can be evaluated as the config says.

    Raises:
        ValueError: it cannot; names the key and the mend.
    """
    metric, label_free = cfg.TEST.BEST_METRIC, cfg.TEST.LABEL_FREE
    selection_mode(metric)
    if is_label_free(metric) and not label_free.ENABLED:
        raise ValueError(f"TEST.BEST_METRIC {metric} needs TEST.LABEL_FREE.ENABLED True")
    if label_free.SECOND_OPINION == "none" and needs_other_evaluation(metric):
        raise ValueError(
            f"TEST.BEST_METRIC {metric} compares two predictions: write "
            "TEST.LABEL_FREE.SECOND_OPINION auto"
        )
    with_other_evaluation(cfg, with_sliding_window(cfg, model))
    if cfg.TEST.EVAL_BOTH:
        other_evaluation(model, "TEST.EVAL_BOTH")
    if cfg.TEST.AUG.ENABLED:
        detector_for_tta(cfg, model)


def refuse_precise_norms(stock: Iterable[HookBase | None], model: nn.Module) -> None:
    """Raise ValueError if detectron2's PreciseBN is to run a model of two domains.

    It takes a norm that sees a second batch in one pass for a mistake, and stops the training.
    """
    plain = unwrap(model)
    two_passes = isinstance(plain, AdaptiveModel) and len(plain.objectives)
    if two_passes and any(isinstance(hook, hooks.PreciseBN) for hook in stock):
        raise ValueError(
            "TEST.PRECISE_BN.ENABLED measures norms that see one batch in a pass, but an adapted "
            "model shows them source and target: write False; its running statistics are of both"
        )


def with_sliding_window(cfg: CfgNode, model: nn.Module) -> nn.Module:
    """Return the model, made to see pictures window by window if TEST.SLIDING_WINDOW asks for it.

    Raises:
        ValueError: see :class:`drfpn_da.modeling.SlidingWindow`.
    """
    node = cfg.TEST.SLIDING_WINDOW
    return SlidingWindow(model, node.SIZE, node.OVERLAP) if node.SIZE else model


def with_other_evaluation(cfg: CfgNode, model: nn.Module) -> nn.Module:
    """Return the model, made to predict twice if TEST.LABEL_FREE asks for comparisons.

    Raises:
        ValueError: see :class:`WithOtherEvaluation`.
    """
    node = cfg.TEST.LABEL_FREE
    if not node.ENABLED or node.SECOND_OPINION == "none":
        return model
    return WithOtherEvaluation(model, node.SECOND_OPINION)


def detector_for_tta(cfg: CfgNode, model: nn.Module) -> GeneralizedRCNN:
    """Return the plain detector to evaluate with test-time augmentation.

    Raises:
        ValueError: it is not a GeneralizedRCNN, or needs what only its AdaptiveModel can give.
    """
    detector = unwrap(model)
    if isinstance(detector, AdaptiveModel):
        try:
            detector = detector.plain_detector()
        except ValueError as error:
            raise ValueError(f"TEST.AUG.ENABLED True: {error}") from None
    if not isinstance(detector, GeneralizedRCNN):
        raise ValueError(
            "TEST.AUG.ENABLED works with GeneralizedRCNN, not with "
            f"{type(detector).__name__}: write TEST.AUG.ENABLED False"
        )
    return detector


def best_checkpointers(cfg: CfgNode, checkpointer: DetectionCheckpointer) -> list[BestCheckpointer]:
    """Return the hooks that keep the best checkpoint by TEST.BEST_METRIC.

    One, which writes ``model_best.pth``; with several test sets one for each, which writes
    ``model_best_<set>.pth``, unless the metric itself names a set ("<set>/bbox/AP").

    Raises:
        ValueError: the metric does not tell the better model.
    """
    metric, sets = cfg.TEST.BEST_METRIC, cfg.DATASETS.TEST
    if not metric or not sets:
        return []
    period, mode = cfg.TEST.EVAL_PERIOD, selection_mode(metric)
    named = metric.startswith(tuple(f"{name}{end}/" for name in sets for end in ("", "_TTA")))
    if len(sets) == 1 or named:
        return [BestCheckpointer(period, checkpointer, metric, mode)]
    return [
        BestCheckpointer(
            period, checkpointer, f"{name}/{metric}", mode, f"model_best_{name.replace('/', '_')}"
        )
        for name in sets
    ]


def add_results(
    results: dict[str, Any], others: Mapping[str, Any], suffix: str, several_sets: bool
) -> None:
    """Add results of a second evaluation, the suffix at the end of each task's name.

    Args:
        results: task -> metrics, or with several sets, set -> task -> metrics.
        others: likewise.
        suffix: such as "_teacher".
        several_sets: which of the two forms.
    """
    if several_sets:
        for name, tasks in others.items():
            add_results(results.setdefault(name, {}), tasks, suffix, False)
        return
    results.update({f"{task}{suffix}": metrics for task, metrics in others.items()})
