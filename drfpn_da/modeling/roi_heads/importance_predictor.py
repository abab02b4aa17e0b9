"""A box predictor that weighs each proposal by its importance (SCN, arXiv 2002.10392)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Callable, NamedTuple, Optional

import torch
import torch.nn.functional as F
from detectron2.config import CfgNode, configurable
from detectron2.layers import cat
from detectron2.modeling.roi_heads import FastRCNNOutputLayers
from detectron2.structures import Instances
from detectron2.utils import comm
from torch import Tensor, nn

from ...functional import at_least_float32
from ...functional.importance import group_means, importance_means, rank_of_means
from ...node_arguments import arguments
from ..step_scalars import put_scalars

logger = logging.getLogger(__name__)

ALPHA_ON = ("all", "foreground", "loss")
SCOPES = ("gpu", "global")
#: Fields that tell which annotation a proposal is matched with: its place in the batch, and in the
#: training data (see :class:`drfpn_da.data.IndexedMapper`).
ROW, INDEX = "gt_rows", "gt_annotation_index"
# Below this standard deviation the importances tell nothing apart; warned about after this many
# training steps in a row.
COLLAPSED_STD, COLLAPSED_STEPS = 0.01, 500
# Added to importances before they are divided by their mean, which a loss that weighs by their
# ratio alone may drive to 0.
SHARE_FLOOR = 0.01


class Predictions(NamedTuple):
    """What the predictor returns; the first two are what ``FastRCNNOutputLayers`` returns.

    ``scores`` are (R, K + 1) logits as used in evaluation, ``deltas`` (R, 4 or 4 K), ``alpha`` (R,)
    importances, ``logits`` (R, K + 1) before any multiplication.
    """

    scores: Tensor
    deltas: Tensor
    alpha: Tensor
    logits: Tensor


class SCNFastRCNNOutputLayers(FastRCNNOutputLayers):
    """``FastRCNNOutputLayers`` with importance weights and rank regularisation.

    Adds the layer ``importance`` (and ``margin`` if it is learnt) to the parent's names, and
    ``scn/loss_rank`` to its losses. Where all importances are 1 it equals its parent exactly.

    Args:
        input_shape: of the box head's output.
        alpha_on: where importance acts: on the logits of "all" proposals in training and
            evaluation, on those of the "foreground" in the loss only, or as weights of the "loss"
            of foreground proposals.
        bias: the importance layer has a bias, as in the published code (the paper has none).
        beta: share of the high group, in (0, 1).
        margin: wanted difference of the groups' mean importance, in [0, 1].
        learnable_margin: learn it from there.
        rank_weight: weight of the rank loss beside the classification loss, as published code.
        gamma: if not negative: the paper's mix, ``gamma`` rank + (1 - ``gamma``) classification,
            in place of ``rank_weight``.
        scope: the mean importance of each annotation's foreground proposals is ranked among those
            of the process ("gpu") or of all processes ("global").
        min_group: fewer are not ranked.
        kwargs: of the parent.

    Raises:
        ValueError: an impossible value, or a sigmoid or federated loss.
    """

    @configurable
    def __init__(
        self,
        input_shape: Any,
        *,
        alpha_on: str = "all",
        bias: bool = True,
        beta: float = 0.7,
        margin: float = 0.15,
        learnable_margin: bool = False,
        rank_weight: float = 1.0,
        gamma: float = -1.0,
        scope: str = "gpu",
        min_group: int = 4,
        **kwargs: Any,
    ) -> None:
        # Before the parent, which asserts that a federated loss is a sigmoid's.
        for used in ("use_fed_loss", "use_sigmoid_ce"):
            if kwargs.get(used):
                name = f"MODEL.ROI_BOX_HEAD.{used.upper()}"
                raise ValueError(
                    f"{name} is True, but importance weights are defined for the softmax "
                    f"cross-entropy only: write {name} False, or a ROI head without SCN"
                )
        super().__init__(input_shape, **kwargs)
        key = "MODEL.ROI_BOX_HEAD.SCN"
        _check_choice(f"{key}.ALPHA_ON", alpha_on, ALPHA_ON)
        _check_choice(f"{key}.SCOPE", scope, SCOPES)
        if not 0 < beta < 1:
            raise ValueError(f"{key}.BETA is {beta}; write a share between 0 and 1, published 0.7")
        if not 0 <= margin <= 1:
            raise ValueError(
                f"{key}.MARGIN_1 is {margin}, but importances differ by at most 1: write a value "
                "in [0, 1], published 0.15"
            )
        if gamma > 1:
            raise ValueError(f"{key}.GAMMA is {gamma}; write a share in [0, 1], or -1 for no mix")
        self.importance = nn.Linear(self.cls_score.in_features, 1, bias=bias)
        nn.init.normal_(self.importance.weight, std=0.01)
        if bias:
            nn.init.zeros_(self.importance.bias)
        self.margin: Any = nn.Parameter(torch.tensor(float(margin))) if learnable_margin else margin
        self.alpha_on, self.beta, self.scope = alpha_on, beta, scope
        self.class_weight = 1 - gamma if gamma >= 0 else 1.0
        self.rank_weight = gamma if gamma >= 0 else rank_weight
        self.min_group = min_group
        #: Called in training with (Predictions, proposals); set by who gathers votes.
        self.recorder: Optional[Callable[[Predictions, list[Instances]], None]] = None
        self._collapsed = 0

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: Any) -> dict[str, Any]:
        """Read the parent's keys and ``MODEL.ROI_BOX_HEAD.SCN``."""
        node = cfg.MODEL.ROI_BOX_HEAD.SCN
        names = ("alpha_on", "bias", "beta", "learnable_margin", "gamma", "scope")
        return {
            **super().from_config(cfg, input_shape),
            **arguments(node, *names, "min_group"),
            "margin": node.MARGIN_1,
            "rank_weight": node.RR_WEIGHT,
        }

    def forward(self, x: Tensor) -> Predictions:
        """Return the predictions for (R, C, ...) features of R proposals."""
        x = torch.flatten(x, start_dim=1)
        logits, deltas = super().forward(x)
        # Importances differ by little. In half precision they would be equal: the rank loss would
        # be its margin, without a direction.
        with torch.autocast(x.device.type, enabled=False):
            importance = self.importance(x.to(self.importance.weight.dtype))
        alpha = at_least_float32(importance)[:, 0].sigmoid()
        scores = alpha[:, None] * logits if self.alpha_on == "all" else logits
        return Predictions(scores, deltas, alpha, logits)

    def losses(self, predictions: Predictions, proposals: list[Instances]) -> dict[str, Tensor]:
        """Return the parent's losses, the importances at work, and ``scn/loss_rank``.

        Args:
            predictions: of :meth:`forward`.
            proposals: labelled; those without ``gt_rows`` are in pictures without annotations.
        """
        alpha, logits = predictions.alpha, predictions.logits
        labels = cat([p.gt_classes for p in proposals]) if proposals else logits.new_empty(0).long()
        foreground = (labels >= 0) & (labels < self.num_classes)
        scores = predictions.scores
        if self.alpha_on == "foreground":
            scores = torch.where(foreground, alpha, torch.ones_like(alpha))[:, None] * logits
        losses = super().losses((scores, predictions.deltas), proposals)
        if self.alpha_on == "loss" and len(labels):
            entropy = F.cross_entropy(at_least_float32(logits), labels, reduction="none")
            share = _shares(at_least_float32(alpha), foreground)
            losses["loss_cls"] = (share * entropy).mean() * self.loss_weight.get("loss_cls", 1.0)
        losses["loss_cls"] = losses["loss_cls"] * self.class_weight
        rank = self._rank_loss(alpha, foreground, proposals)
        if self.recorder is not None:
            self.recorder(predictions, proposals)
        return {**losses, "scn/loss_rank": rank * self.rank_weight}

    def predict_boxes(
        self, predictions: Sequence[Tensor], proposals: list[Instances]
    ) -> Sequence[Tensor]:
        """As the parent's."""
        return super().predict_boxes(predictions[:2], proposals)

    def predict_boxes_for_gt_classes(
        self, predictions: Sequence[Tensor], proposals: list[Instances]
    ) -> Sequence[Tensor]:
        """As the parent's."""
        return super().predict_boxes_for_gt_classes(predictions[:2], proposals)

    def predict_probs(
        self, predictions: Sequence[Tensor], proposals: list[Instances]
    ) -> Sequence[Tensor]:
        """As the parent's."""
        return super().predict_probs(predictions[:2], proposals)

    def _rank_loss(self, alpha: Tensor, foreground: Tensor, proposals: list[Instances]) -> Tensor:
        # How many are ranked stays on the device, as a mask: the host does not wait for it.
        annotations = gt_field(proposals, ROW, alpha.device)
        means, ranked = group_means(at_least_float32(alpha), annotations, foreground)
        if self.scope == "global" and comm.get_world_size() > 1:
            means = gather_with_own_gradient(means[ranked])
            ranked = torch.ones_like(means, dtype=torch.bool)
        found, counts = importance_means(means, self.beta, ranked)
        rank = rank_of_means(found, counts, self.margin, self.min_group)
        self._log(means.detach(), ranked, found.detach(), counts, rank.detach())
        return rank

    @torch.no_grad()
    def _log(
        self, means: Tensor, ranked: Tensor, of_groups: Tensor, counts: Tensor, rank: Tensor
    ) -> None:
        """Log the importances of what is ranked; warn when they no longer differ."""
        squares = (means - of_groups[2]).square().masked_fill(~ranked, 0).sum()
        values = {
            "alpha_mean": of_groups[2],
            "alpha_std": (squares / (counts[2] - 1).clamp(min=1)).sqrt(),
            "alpha_high": of_groups[0],
            "alpha_low": of_groups[1],
            "rr_active_frac": rank > 0,
        }
        enough = (counts[:2].amin() > 0) & (counts[2] >= self.min_group)
        put_scalars({f"scn/{k}": v for k, v in values.items()}, enough, self._watch)

    def _watch(self, numbers: dict[str, float]) -> None:
        """Warn, once, when importances have not differed for long."""
        small = numbers["scn/alpha_std"] < COLLAPSED_STD
        self._collapsed = self._collapsed + 1 if small else 0
        if self._collapsed == COLLAPSED_STEPS:
            logger.warning(
                "SCN: for %d steps the importances have hardly differed (standard deviation below "
                "%g, mean %.3f): they tell nothing apart. A larger MODEL.ROI_BOX_HEAD.SCN.MARGIN_1 "
                "or RR_WEIGHT keeps them apart; relabelling does not depend on them.",
                COLLAPSED_STEPS,
                COLLAPSED_STD,
                numbers["scn/alpha_mean"],
            )


def gt_field(proposals: list[Instances], name: str, device: torch.device) -> Tensor:
    """Return an integer field of all proposals in a row, -1 where a picture does not have it."""
    parts = [
        p.get(name)
        if p.has(name)
        else torch.full((len(p),), -1, dtype=torch.int64, device=p.gt_classes.device)
        for p in proposals
    ]
    return cat(parts) if parts else torch.empty(0, dtype=torch.int64, device=device)


def _shares(alpha: Tensor, foreground: Tensor) -> Tensor:
    """Return loss weights: importance over its mean among the foreground, 1 for the background.

    Easy background would otherwise take all weight from the objects, as less loss is less to weigh.
    """
    count = foreground.sum().clamp(min=1)
    mean = alpha.masked_fill(~foreground, 0).sum() / count
    share = (alpha + SHARE_FLOOR) / (mean + SHARE_FLOOR)
    return torch.where(foreground, share, torch.ones_like(share))


def gather_with_own_gradient(means: Tensor) -> Tensor:
    """Return the means of all processes; gradients reach the own ones.

    The gradient is multiplied by the number of processes, by which averaging divides it again: the
    update is that of one process with all means.
    """
    world = comm.get_world_size()
    own = means * world - (means * (world - 1)).detach()
    parts = [part.to(means.device) for part in comm.all_gather(means.detach().cpu())]
    parts[comm.get_rank()] = own
    return torch.cat(parts)


def _check_choice(key: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise ValueError(f"{key} is '{value}'; write one of {', '.join(choices)}")
