"""What detectors and segmentors share of self-training: keys, ramp and regularisers."""

from __future__ import annotations

from typing import Any

from detectron2.config import CfgNode
from detectron2.utils.events import get_event_storage
from torch import Tensor

from ..functional import at_least_float32
from ..functional.class_prior import entropy_regulariser, prior_regulariser
from .pseudo_statistics import PseudoLabelStatistics


def common_arguments(cfg: CfgNode) -> dict[str, Any]:
    """Read the keys of ``MODEL.PSEUDO_LABEL`` that both objectives have, as their arguments."""
    node = cfg.MODEL.PSEUDO_LABEL
    return {
        "weight": node.WEIGHT,
        "start_iter": node.START_ITER,
        "ramp_iters": node.RAMP_ITERS,
        "soft": node.SOFT,
        "threshold": node.THRESHOLD,
        "adaptive_floor": node.ADAPTIVE.FLOOR if node.ADAPTIVE.ENABLED else None,
        "adaptive_momentum": node.ADAPTIVE.MOMENTUM,
        "prior_weight": node.PRIOR.WEIGHT,
        "frequencies": node.PRIOR.FREQUENCIES,
        "prior_momentum": node.PRIOR.MOMENTUM,
        "entropy_weight": node.ENTROPY_WEIGHT,
        "min_labelled_share": node.MIN_LABELLED_SHARE,
    }


def ramped_weight(weight: float, iteration: int, start_iter: int, ramp_iters: int) -> float:
    """Return a weight that rises linearly from 0 over ``ramp_iters`` after ``start_iter``."""
    progress = (iteration - start_iter) / ramp_iters if ramp_iters else 1.0
    return weight * min(1.0, max(0.0, progress))


def regularisers(
    logits: Tensor,
    statistics: PseudoLabelStatistics,
    *,
    prior_weight: float,
    entropy_weight: float,
    name: str,
) -> dict[str, Tensor]:
    """Return R_A and R_H (arXiv 1908.02983, section 3.1) where they have a weight.

    Args:
        logits: (R, K), of ROIs or pixels; R may be 0.
        statistics: with the running mean of predictions, which is updated, and the prior.
        prior_weight: of ``loss_prior``.
        entropy_weight: of ``loss_entropy``.
        name: of the objective, for the scalar ``<name>/prior_divergence``.
    """
    losses: dict[str, Tensor] = {}
    logits = at_least_float32(logits)
    if prior_weight:
        mean = statistics.mean_prediction(logits.softmax(dim=1))
        divergence = prior_regulariser(mean, statistics.prior())
        # No row yet: nothing to learn from, but the graph stays connected.
        loss = divergence if statistics.prediction_steps else logits.sum() * 0.0
        losses["loss_prior"] = prior_weight * loss
        get_event_storage().put_scalar(f"{name}/prior_divergence", float(loss.detach()))
    if entropy_weight:
        loss = entropy_regulariser(logits) if len(logits) else logits.sum() * 0.0
        losses["loss_entropy"] = entropy_weight * loss
    return losses
