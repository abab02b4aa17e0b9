"""Windows in which votes on labels are gathered, and their recorder."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from detectron2.config import CfgNode
from detectron2.layers import cat
from detectron2.structures import Boxes, Instances
from detectron2.structures.boxes import matched_pairwise_iou

from ..labels import VoteAccumulator
from ..modeling.roi_heads import Predictions
from ..modeling.roi_heads.importance_predictor import INDEX, gt_field

PROBABILITIES = ("raw", "scaled")


@dataclass(frozen=True)
class Windows:
    """When votes are gathered: windows of ``period`` steps from ``start`` to ``stop``."""

    start: int
    stop: int
    period: int

    def __post_init__(self) -> None:
        if self.period < 1 or self.start < 0 or self.stop - self.start < self.period:
            raise ValueError(
                f"SCN_RELABEL: from step {self.start} to {self.stop} there is no whole window of "
                f"{self.period} steps: lower START_EPOCH, START_FRACTION, PERIOD_EPOCHS or "
                "PERIOD_FRACTION, or raise STOP_EPOCH, STOP_FRACTION or SOLVER.MAX_ITER"
            )

    @property
    def count(self) -> int:
        """How many whole windows there are."""
        return (self.stop - self.start) // self.period

    def gathers(self, step: int) -> bool:
        """Whether step (from 0) belongs to a window that will be complete."""
        return self.start <= step < self.start + self.count * self.period

    def ends(self, done: int) -> bool:
        """Whether a window is complete after so many steps."""
        return self.gathers(done - 1) and (done - self.start) % self.period == 0

    @classmethod
    def from_config(cls, cfg: CfgNode, pictures: int) -> Windows:
        """Read ``SCN_RELABEL``; an epoch is as many steps as show all pictures once."""
        node, last = cfg.SCN_RELABEL, cfg.SOLVER.MAX_ITER
        epoch = math.ceil(pictures / cfg.SOLVER.IMS_PER_BATCH)
        start, stop = int(node.START_FRACTION * last), int(node.STOP_FRACTION * last)
        if node.START_EPOCH >= 0:
            start = node.START_EPOCH * epoch
        if node.STOP_EPOCH >= 0:
            stop = node.STOP_EPOCH * epoch
        period = max(int(node.PERIOD_FRACTION * last), epoch)
        if node.PERIOD_EPOCHS >= 0:
            period = node.PERIOD_EPOCHS * epoch
        return cls(start, min(stop, last), period)


class VoteRecorder:
    """Turns the predictor's outputs on foreground proposals into votes.

    Args:
        votes: where they are added up.
        min_iou: proposals with a smaller overlap with their annotation do not vote.
        probabilities: "raw" or "scaled" logits; either without background.
    """

    def __init__(self, votes: VoteAccumulator, min_iou: float, probabilities: str) -> None:
        if probabilities not in PROBABILITIES:
            raise ValueError(
                f"SCN_RELABEL.PROBS is '{probabilities}'; write one of {', '.join(PROBABILITIES)}"
            )
        if not 0 <= min_iou <= 1:
            raise ValueError(f"SCN_RELABEL.MIN_IOU is {min_iou}; write a share in [0, 1]")
        self.votes, self.min_iou, self.probabilities = votes, min_iou, probabilities
        self.active = False

    @torch.no_grad()
    def __call__(self, predictions: Predictions, proposals: list[Instances]) -> None:
        """Take the outputs of one step."""
        if not self.active or not proposals:
            return
        labels = cat([p.gt_classes for p in proposals])
        index = gt_field(proposals, INDEX, labels.device)
        voting = (labels >= 0) & (labels < self.votes.num_classes) & (index >= 0)
        boxes = cat([p.proposal_boxes.tensor for p in proposals])
        truth = cat(
            [(p.gt_boxes if p.has("gt_boxes") else p.proposal_boxes).tensor for p in proposals]
        )
        overlap = matched_pairwise_iou(Boxes(boxes), Boxes(truth))
        voting &= overlap >= self.min_iou
        logits = predictions.logits[:, :-1].float()
        if self.probabilities == "scaled":
            logits = logits * predictions.alpha[:, None].float()
        # All of them: to choose those that vote, the host would have to wait for their number.
        index = index.masked_fill(~voting, -1)
        self.votes.add(index, logits.softmax(dim=1), overlap, predictions.alpha)
