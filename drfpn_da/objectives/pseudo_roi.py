"""ROI heads of student and teacher on pseudo-labels: record, score again, match."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from detectron2.structures import Boxes, Instances, pairwise_iou
from torch import Tensor, nn

from ..functional.no_grad import without_gradients
from ..functional.pseudo_boxes import jitter_boxes, relative_spread
from ..modeling.context import find_box_heads
from ..modeling.feature_taps import FeatureTaps


@dataclass
class Stage:
    """Inputs and outputs of one stage of the box heads.

    Attributes:
        boxes: proposals of each picture.
        logits: (R, K + 1), over the proposals of all pictures.
        deltas: (R, 4) or (R, 4 K).
    """

    boxes: list[Boxes]
    logits: Tensor
    deltas: Tensor


@dataclass
class RoiRecord:
    """The stages of the passes through ROI heads; see :func:`install_recorder`."""

    active: bool = False
    boxes: list[list[Boxes]] = field(default_factory=list)
    outputs: list[tuple[Tensor, Tensor]] = field(default_factory=list)

    def start(self) -> None:
        """Record the next pass."""
        self.active, self.boxes, self.outputs = True, [], []

    def take(self) -> list[Stage]:
        """Stop recording; return the stages of the pass."""
        stages = [Stage(boxes, *output) for boxes, output in zip(self.boxes, self.outputs)]
        self.active, self.boxes, self.outputs = False, [], []
        return stages

    # Hooks are methods, not closures: a copy of a detector then has hooks on a copy of the record.
    def note_boxes(self, module: nn.Module, inputs: Any) -> None:
        """Pre-hook of the pooler."""
        if self.active:
            self.boxes.append(list(inputs[1]))

    def note_output(self, module: nn.Module, inputs: Any, output: Any) -> None:
        """Hook of a predictor."""
        if self.active:
            self.outputs.append((output[0], output[1]))


def install_recorder(detector: nn.Module) -> RoiRecord:
    """Return a record that hooks on the pooler and the predictors of the box heads fill."""
    record = RoiRecord()
    pooler, predictors = find_box_heads(detector)
    pooler.register_forward_pre_hook(record.note_boxes)
    for predictor in predictors:
        predictor.register_forward_hook(record.note_output)
    return record


class TeacherPass:
    """A pass of an R-CNN teacher, after which its ROI heads can be asked about other boxes.

    Args:
        detector: the teacher, in evaluation mode.
        taps: of the teacher; objectives that act on its ROI heads need a recording.
        inputs: dicts with ``image``.

    Attributes:
        detections: of each picture, in its own pixels.
    """

    @without_gradients()
    def __init__(self, detector: Any, taps: FeatureTaps, inputs: list[dict[str, Any]]) -> None:
        self._heads: Any = detector.roi_heads
        self._taps = taps
        images = detector.preprocess_image(inputs)
        with taps.record(images.image_sizes) as self._recording:
            self._features = detector.backbone(images.tensor)
            proposals, _ = detector.proposal_generator(images, self._features, None)
            self.detections: list[Instances] = self._heads(images, self._features, proposals)[0]

    @without_gradients()
    def score(self, boxes: list[Boxes], stage: int) -> tuple[Tensor, Tensor]:
        """Return logits (R, K + 1) and deltas for boxes of each picture, by one stage."""
        with self._taps.record(self._recording.image_sizes) as recording:
            # What other objectives made of the features once holds for these boxes too.
            recording.update(self._recording)
            recording.cache.update(self._recording.cache)
            return score_again(self._heads, self._features, boxes, stage)

    @without_gradients()
    def spread(
        self, labels: Sequence[Instances], count: int, scale: float, generator: torch.Generator
    ) -> Tensor:
        """Return how much the last stage's answers to jittered copies of each label differ.

        Args:
            labels: of each picture, with ``gt_boxes`` and ``gt_classes``.
            count: copies of each box.
            scale: see :func:`jitter_boxes`.
            generator: on the boxes' device.

        Returns:
            (R,), over the labels of all pictures; see :func:`relative_spread`.
        """
        proposals = []
        for one in labels:
            moved = jitter_boxes(one.gt_boxes.tensor, count, scale, generator).flatten(0, 1)
            boxes = Boxes(moved)
            boxes.clip(one.image_size)
            classes = one.gt_classes.repeat_interleave(count)
            proposals.append(Instances(one.image_size, proposal_boxes=boxes, gt_classes=classes))
        answers = self.score([p.proposal_boxes for p in proposals], -1)
        predictor = _of_stage(self._heads.box_predictor, -1)
        found = torch.cat(list(predictor.predict_boxes_for_gt_classes(answers, proposals)))
        return relative_spread(found.reshape(-1, count, 4))


def score_again(
    heads: Any, features: dict[str, Tensor], boxes: list[Boxes], stage: int
) -> tuple[Tensor, Tensor]:
    """Return logits (R, K + 1) and deltas that box heads give for these boxes.

    Args:
        heads: detectron2's standard, cascade or Res5 heads.
        features: of the backbone, by name.
        boxes: of each picture.
        stage: of a cascade; -1 is the last one.
    """
    if hasattr(heads, "res5"):
        pooled = heads.pooler([features[name] for name in heads.in_features], boxes)
        output = heads.box_predictor(heads.res5(pooled).mean(dim=(2, 3)))
        return output[0], output[1]
    pooled = heads.box_pooler([features[name] for name in heads.box_in_features], boxes)
    output = _of_stage(heads.box_predictor, stage)(_of_stage(heads.box_head, stage)(pooled))
    return output[0], output[1]


def _of_stage(modules: Any, stage: int) -> Any:
    return modules[stage] if isinstance(modules, nn.ModuleList) else modules


@torch.no_grad()
def match(
    heads: Any, boxes: Sequence[Boxes], labels: Sequence[Instances], stage: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Match proposals to labels by the matcher of the heads, as in their own loss.

    Returns:
        (R,) classes, K for background; (R, 4) boxes; (R,) rows of the labels in the batch, of use
        where the class is not background.
    """
    matcher = heads.proposal_matchers[stage] if hasattr(heads, "proposal_matchers") else None
    matcher = matcher or heads.proposal_matcher
    classes, targets, rows, first = [], [], [], 0
    for proposals, label in zip(boxes, labels):
        row, matched = matcher(pairwise_iou(label.gt_boxes, proposals))
        if len(label):
            background = torch.full_like(row, heads.num_classes)
            classes.append(torch.where(matched == 1, label.gt_classes[row], background))
            targets.append(label.gt_boxes.tensor[row])
        else:
            classes.append(torch.full_like(row, heads.num_classes))
            targets.append(proposals.tensor)
        rows.append(row + first)
        first += len(label)
    return torch.cat(classes), torch.cat(targets), torch.cat(rows)
