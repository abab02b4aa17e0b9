"""Base of self-training: keys, statistics, ramp and regularisers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional

import torch
from detectron2.config import CfgNode
from detectron2.utils.events import get_event_storage
from torch import Tensor

from ..functional import at_least_float32
from ..functional.class_prior import entropy_regulariser, prior_regulariser
from ..modeling.objective import AdaptationStep, Objective
from ..modeling.step_scalars import put_scalars
from ..node_arguments import arguments
from .pseudo_checks import check_common, check_share
from .pseudo_statistics import PseudoLabelStatistics


class SelfTraining(Objective):
    """Base of objectives that learn from predictions of the model or its teacher.

    Args:
        weight: of all losses.
        start_iter: before it, no labels and no target pass.
        ramp_iters: iterations of the linear rise of the weight, from 0.
        soft: learn class probabilities; else the most probable class.
        threshold: least score of what becomes a label; see :class:`PseudoLabelStatistics`.
        adaptive_floor: lowest threshold of classes; None: one threshold for all.
        adaptive_momentum: of the mean scores behind the thresholds.
        prior_weight: of R_A (arXiv 1908.02983, section 3.1).
        frequencies: prior class frequencies; empty: those of the source's labels.
        prior_momentum: of the mean prediction.
        entropy_weight: of R_H.
        min_labelled_share: of the pictures of a process, in [0, 1).

    Attributes:
        statistics: of the classes, made by :meth:`start_statistics`.

    Raises:
        ValueError: a value out of range; names the key.
    """

    labels_target = True
    statistics: PseudoLabelStatistics

    def __init__(
        self,
        *,
        weight: float = 1.0,
        start_iter: int = 0,
        ramp_iters: int = 0,
        soft: bool = False,
        threshold: float = 0.8,
        adaptive_floor: Optional[float] = None,
        adaptive_momentum: float = 0.99,
        prior_weight: float = 0.0,
        frequencies: Sequence[float] = (),
        prior_momentum: float = 0.9,
        entropy_weight: float = 0.0,
        min_labelled_share: float = 0.0,
    ) -> None:
        super().__init__()
        check_common(
            {
                "WEIGHT": weight,
                "RAMP_ITERS": ramp_iters,
                "THRESHOLD": threshold,
                "ADAPTIVE.FLOOR": threshold if adaptive_floor is None else adaptive_floor,
                "ADAPTIVE.MOMENTUM": adaptive_momentum,
                "PRIOR.WEIGHT": prior_weight,
                "PRIOR.MOMENTUM": prior_momentum,
                "ENTROPY_WEIGHT": entropy_weight,
                "MIN_LABELLED_SHARE": min_labelled_share,
            }
        )
        self.weight, self.start_iter, self.ramp_iters = weight, start_iter, ramp_iters
        self.soft, self.min_labelled_share = soft, min_labelled_share
        self.prior_weight, self.entropy_weight = prior_weight, entropy_weight
        self._statistics_arguments: dict[str, Any] = {
            "threshold": threshold,
            "floor": adaptive_floor,
            "confidence_momentum": adaptive_momentum,
            "frequencies": frequencies,
            "prediction_momentum": prior_momentum,
        }

    @staticmethod
    def shared_arguments(cfg: CfgNode) -> dict[str, Any]:
        """Read the keys of ``MODEL.PSEUDO_LABEL`` that are arguments here."""
        node = cfg.MODEL.PSEUDO_LABEL
        return {
            **arguments(node, "weight", "start_iter", "ramp_iters", "soft", "threshold"),
            **arguments(node, "adaptive_momentum", "prior_weight", "prior_momentum"),
            **arguments(node, "entropy_weight", "min_labelled_share"),
            "adaptive_floor": node.ADAPTIVE.FLOOR if node.ADAPTIVE.ENABLED else None,
            "frequencies": node.PRIOR.FREQUENCIES,
        }

    def start_statistics(self, num_classes: int) -> None:
        """Make the statistics of so many classes.

        Raises:
            ValueError: not as many frequencies are given.
        """
        self.statistics = PseudoLabelStatistics(num_classes, **self._statistics_arguments)

    def check_batch(self, step: AdaptationStep) -> None:
        """Raise ValueError if too few pictures of the batch are labelled."""
        assert step.source is not None
        check_share(len(step.source.inputs), len(step.target_inputs), self.min_labelled_share)

    def current_weight(self, iteration: int) -> float:
        """Return the weight of the losses: it rises from 0 over ``ramp_iters``."""
        progress = (iteration - self.start_iter) / self.ramp_iters if self.ramp_iters else 1.0
        return self.weight * min(1.0, max(0.0, progress))

    def weighted(self, losses: dict[str, Tensor], iteration: int) -> dict[str, Tensor]:
        """Return the losses times the weight of now, which is logged."""
        weight = self.current_weight(iteration)
        get_event_storage().put_scalar(f"{self.name}/weight", weight, smoothing_hint=False)
        return {key: weight * loss for key, loss in losses.items()}

    def regularisers(self, logits: Tensor, among: Tensor) -> dict[str, Tensor]:
        """Return R_A and R_H where they have a weight; note the predictions for R_A.

        Args:
            logits: (R, K), of ROIs or pixels; R may be 0.
            among: (R,) bool, the rows that count; perhaps none.
        """
        losses: dict[str, Tensor] = {}
        logits = at_least_float32(logits)
        if self.prior_weight:
            mean = self.statistics.mean_prediction(logits.softmax(dim=1), among)
            divergence = prior_regulariser(mean, self.statistics.prior())
            # No row yet: nothing to learn from, but the graph stays connected.
            loss = torch.where(self.statistics.prediction_steps > 0, divergence, 0.0)
            losses["loss_prior"] = self.prior_weight * loss
            put_scalars({f"{self.name}/prior_divergence": loss})
        if self.entropy_weight:
            losses["loss_entropy"] = self.entropy_weight * entropy_regulariser(logits, among)
        return losses
