"""Self-training of detectors: a mean teacher labels the weak view, the student the strong one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Optional

import torch
import torch.nn.functional as F
from detectron2.config import CfgNode, configurable
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import get_event_storage
from torch import Tensor, nn

from ..functional.generators import step_generator
from ..functional.no_grad import without_gradients
from ..functional.pseudo_boxes import rows_where, soft_cross_entropy
from ..modeling.feature_taps import FeatureTaps
from ..modeling.objective import OBJECTIVE_REGISTRY, AdaptationStep, replaced
from ..modeling.step_scalars import put_scalars
from ..node_arguments import arguments
from .pseudo_checks import check_detector, views_of
from .pseudo_roi import RoiRecord, Stage, TeacherPass, install_recorder, match
from .self_training import SelfTraining

_BOX_REGRESSION = ("none", "all", "reliable")
#: Words in the names of losses of localisation, of detectron2's detectors and of others.
LOCALIZATION_LOSSES = ("box_reg", "bbox", "_loc", "_ctr", "centerness", "iou")


@OBJECTIVE_REGISTRY.register()
class PseudoLabel(SelfTraining):
    """Losses of the student's strong view against the mean teacher's labels of the weak view.

    Detections above a threshold become labels (Unbiased Teacher, arXiv 2102.09480). On R-CNN
    detectors the ROI heads may learn soft labels instead: the teacher's class vector, background
    included, of each of the student's own proposals. Losses of localisation are left out, or
    restricted to boxes that the teacher finds again from jittered copies (Soft Teacher, arXiv
    2106.09018). Two regularisers of arXiv 1908.02983 keep the predictions on foreground ROIs from
    collapsing to few classes and make them decided.

    Losses: those of the detector on the target that are kept, by their own names; ``loss_prior``
    and ``loss_entropy``. Scalars: ``boxes_per_picture``, ``mean_score``, ``threshold_lowest``,
    ``threshold_mean``, ``weight``; on R-CNN ``share_foreground`` and, where they are in use,
    ``share_reliable`` and ``prior_divergence``.

    Args:
        box_regression: "none", "all" or "reliable".
        localization_losses: words in the names of the losses of localisation.
        jitter_count: for "reliable": copies of each box, at least 2.
        jitter_scale: by how much their sides move, relative to the box.
        max_spread: largest spread of the answers, relative to the box.
        shared: see :class:`SelfTraining`; ``soft`` labels are for the ROI heads.

    Raises:
        ValueError: a value out of range; a detector for which a choice is not possible.
    """

    name = "pseudo_label"
    needs_teacher = True

    @configurable
    def __init__(
        self,
        *,
        box_regression: str = "none",
        localization_losses: Sequence[str] = LOCALIZATION_LOSSES,
        jitter_count: int = 10,
        jitter_scale: float = 0.06,
        max_spread: float = 0.02,
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        if box_regression not in _BOX_REGRESSION:
            raise ValueError(
                f"MODEL.PSEUDO_LABEL.BOX_REGRESSION is '{box_regression}'; write one of "
                f"{list(_BOX_REGRESSION)}"
            )
        if jitter_count < 2:
            raise ValueError(f"MODEL.PSEUDO_LABEL.JITTER.COUNT is {jitter_count}; write at least 2")
        self.box_regression, self.max_spread = box_regression, max_spread
        self.localization_losses = tuple(localization_losses)
        self.jitter_count, self.jitter_scale = jitter_count, jitter_scale
        self._record: Optional[RoiRecord] = None
        self._teacher_taps: Optional[FeatureTaps] = None
        # From labelling to the losses of one step.
        self._labels: list[Instances] = []
        self._teacher_pass: Optional[TeacherPass] = None
        self._normalizer: Any = None

    @classmethod
    def from_config(cls, cfg: CfgNode, features: FeatureTaps) -> dict[str, Any]:
        """Read ``MODEL.PSEUDO_LABEL``."""
        node = cfg.MODEL.PSEUDO_LABEL
        names = ("box_regression", "localization_losses", "jitter_count", "jitter_scale")
        return {
            **cls.shared_arguments(cfg),
            **arguments(node, *names),
            "max_spread": node.JITTER.MAX_SPREAD,
        }

    def attach(self, detector: nn.Module, taps: FeatureTaps) -> None:
        """Check the detector and make the statistics; record the student's proposals.

        Raises:
            ValueError: a detector that cannot be taught in this way; names the key and the mend.
        """
        if hasattr(self, "statistics"):  # the student came first
            self._teacher_taps = taps
            return
        wanted = {
            "SOFT True": self.soft,
            "BOX_REGRESSION 'reliable'": self.box_regression == "reliable",
            "PRIOR.WEIGHT": self.prior_weight > 0,
            "ENTROPY_WEIGHT": self.entropy_weight > 0,
        }
        self.start_statistics(check_detector(detector, [key for key, on in wanted.items() if on]))
        if hasattr(detector, "roi_heads"):
            self._record = install_recorder(detector)

    @without_gradients()
    def label_target(self, step: AdaptationStep) -> Sequence[dict[str, Any]]:
        """Return the strong views with the teacher's detections in the weak views as labels.

        Raises:
            ValueError: pictures without two views, or too few labelled pictures in the batch.
        """
        assert step.teacher is not None
        self.check_batch(step)
        views = [views_of(x) for x in step.target_inputs]
        weak: list[dict[str, Any]] = [{"image": weak} for weak, _ in views]
        teacher: Any = step.teacher.detector
        if self._record is None:
            detections = [output["instances"] for output in teacher(weak)]
        else:
            assert self._teacher_taps is not None
            self._teacher_pass = TeacherPass(teacher, self._teacher_taps, weak)
            detections = self._teacher_pass.detections
            self._record.start()
        self._labels = self._choose(detections)
        self._normalizer = getattr(step.detector, "loss_normalizer", None)
        return [
            replaced(x, image=strong, instances=label)
            for x, (_, strong), label in zip(step.target_inputs, views, self._labels)
        ]

    def _choose(self, detections: list[Instances]) -> list[Instances]:
        """Return the detections above their class's threshold as labels; note and log them."""
        scores = torch.cat([d.scores for d in detections]).float()
        classes = torch.cat([d.pred_classes for d in detections])
        self.statistics.add_scores(scores, classes)
        thresholds = self.statistics.thresholds()
        sure = scores >= thresholds[classes]
        boxes = torch.cat([d.pred_boxes.tensor for d in detections]).float()
        parts = (sure & Boxes(boxes).nonempty()).split([len(d) for d in detections])
        labels = []
        for found, rows in zip(detections, rows_where(parts)):
            label = Instances(found.image_size)
            label.gt_boxes = Boxes(found.pred_boxes.tensor.float()[rows])
            label.gt_classes = found.pred_classes[rows]
            labels.append(label)
        count = sum(len(label) for label in labels)
        get_event_storage().put_scalar(f"{self.name}/boxes_per_picture", count / len(labels))
        mean = scores.masked_fill(~sure, 0).sum() / sure.sum().clamp(min=1)
        put_scalars({f"{self.name}/mean_score": mean}, where=sure.any())
        put_scalars(
            {
                f"{self.name}/threshold_lowest": thresholds.min(),
                f"{self.name}/threshold_mean": thresholds.mean(),
            }
        )
        return labels

    def forward(self, step: AdaptationStep) -> dict[str, Tensor]:
        """Return the weighted losses on the pseudo-labels."""
        assert step.source is not None and step.target is not None
        if self._normalizer is not None:
            # The running number of positives stays that of the labelled pictures.
            step.detector.loss_normalizer = self._normalizer
        losses = self._kept(step.target.losses)
        if self._record is not None:
            classes = torch.cat([x["instances"].gt_classes for x in step.source.inputs])
            device = self.statistics.source_counts.device
            self.statistics.add_labels(classes.to(device, non_blocking=True))
            losses.update(self._roi_losses(step.detector, self._record.take(), step.iteration))
            self._teacher_pass = None
        return self.weighted(losses, step.iteration)

    def _kept(self, losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the detector's losses on pseudo-labels that the student learns from.

        Raises:
            ValueError: there is none, so that nothing would be learnt.
        """
        if self.box_regression == "all":
            return dict(losses)
        words = self.localization_losses
        kept = {key: x for key, x in losses.items() if not any(word in key for word in words)}
        if not kept:
            raise ValueError(
                f"every loss of the detector, {sorted(losses)}, has a word of "
                f"MODEL.PSEUDO_LABEL.LOCALIZATION_LOSSES {list(words)} in its name: nothing "
                "is left to learn. Write the words of its localisation losses only, or "
                "BOX_REGRESSION all"
            )
        return kept

    def _roi_losses(self, student: Any, stages: list[Stage], iteration: int) -> dict[str, Tensor]:
        """Return what replaces or joins the losses of the ROI heads."""
        assert self._teacher_pass is not None
        heads = student.roi_heads
        reliable = self._reliable(iteration) if self.box_regression == "reliable" else None
        cascade = isinstance(heads.box_predictor, nn.ModuleList)
        predictors = list(heads.box_predictor) if cascade else [heads.box_predictor]
        losses: dict[str, Tensor] = {}
        for k, (stage, predictor) in enumerate(zip(stages, predictors)):
            ending = f"_stage{k}" if cascade else ""
            classes, boxes, rows = match(heads, stage.boxes, self._labels, k)
            foreground = classes < heads.num_classes
            if self.soft:
                logits, _ = self._teacher_pass.score(stage.boxes, k)
                loss = soft_cross_entropy(stage.logits, logits.float().softmax(dim=1))
                losses[f"loss_cls{ending}"] = loss * predictor.loss_weight.get("loss_cls", 1.0)
            if reliable is not None:
                trained = torch.where(reliable[rows], classes, heads.num_classes)
                proposals = torch.cat([one.tensor for one in stage.boxes])
                loss = predictor.box_reg_loss(proposals, boxes, stage.deltas, trained)
                factor = predictor.loss_weight.get("loss_box_reg", 1.0)
                losses[f"loss_box_reg{ending}"] = loss * factor
        put_scalars({f"{self.name}/share_foreground": foreground.float().mean()})
        return {**losses, **self.regularisers(stages[-1].logits[:, :-1], foreground)}

    def _reliable(self, iteration: int) -> Tensor:
        """Return for each label of the batch whether the teacher finds its box again.

        Returns:
            (R + 1,): a last row stands for those of pictures without labels.
        """
        assert self._teacher_pass is not None
        generator = step_generator(iteration, device=self._labels[0].gt_boxes.device)
        spread = self._teacher_pass.spread(
            self._labels, self.jitter_count, self.jitter_scale, generator
        )
        reliable = spread <= self.max_spread
        if len(reliable):
            put_scalars({f"{self.name}/share_reliable": reliable.float().mean()})
        return F.pad(reliable, (0, 1))
