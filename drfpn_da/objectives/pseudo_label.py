"""Self-training of detectors: a mean teacher labels the weak view, the student the strong one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional

import torch
from detectron2.config import CfgNode, configurable
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import get_event_storage
from torch import Tensor, nn

from ..functional.generators import step_generator
from ..functional.pseudo_boxes import soft_cross_entropy
from ..modeling.feature_taps import FeatureTaps
from ..modeling.objective import OBJECTIVE_REGISTRY, AdaptationStep, Objective
from .pseudo_checks import KEPT, check_detector, check_share, check_values, views_of
from .pseudo_regularisers import common_arguments, ramped_weight, regularisers
from .pseudo_roi import RoiRecord, Stage, TeacherPass, install_recorder, match
from .pseudo_statistics import PseudoLabelStatistics

_LOCALISATION = ("box_reg", "_loc", "_ctr")


@OBJECTIVE_REGISTRY.register()
class PseudoLabel(Objective):
    """Losses of the student's strong view against what the mean teacher sees in the weak one.

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
        weight: of all losses.
        start_iter: before it, no labels and no target pass.
        ramp_iters: iterations of the linear rise of the weight, from 0.
        threshold: see :class:`PseudoLabelStatistics`.
        adaptive_floor: lowest threshold of classes; None: one threshold for all.
        adaptive_momentum: of the mean scores behind the thresholds.
        box_regression: "none", "all" or "reliable".
        jitter_count: for "reliable": copies of each box, at least 2.
        jitter_scale: by how much their sides move, relative to the box.
        max_spread: largest spread of the answers, relative to the box.
        soft: soft labels for the ROI heads.
        prior_weight: of R_A.
        frequencies: prior class frequencies; empty: of the source labels.
        prior_momentum: of the mean prediction.
        entropy_weight: of R_H.
        min_labelled_share: of the pictures of a process, in [0, 1).

    Raises:
        ValueError: a value out of range; a detector for which a choice is not possible.
    """

    name = "pseudo_label"
    needs_teacher = True
    labels_target = True

    @configurable
    def __init__(
        self,
        *,
        weight: float = 1.0,
        start_iter: int = 0,
        ramp_iters: int = 0,
        threshold: float = 0.8,
        adaptive_floor: Optional[float] = None,
        adaptive_momentum: float = 0.99,
        box_regression: str = "none",
        jitter_count: int = 10,
        jitter_scale: float = 0.06,
        max_spread: float = 0.02,
        soft: bool = False,
        prior_weight: float = 0.0,
        frequencies: Sequence[float] = (),
        prior_momentum: float = 0.9,
        entropy_weight: float = 0.0,
        min_labelled_share: float = 0.0,
    ) -> None:
        super().__init__()
        check_values(
            {
                "WEIGHT": weight,
                "RAMP_ITERS": ramp_iters,
                "THRESHOLD": threshold,
                "ADAPTIVE.FLOOR": threshold if adaptive_floor is None else adaptive_floor,
                "ADAPTIVE.MOMENTUM": adaptive_momentum,
                "BOX_REGRESSION": box_regression,
                "JITTER.COUNT": jitter_count,
                "PRIOR.WEIGHT": prior_weight,
                "PRIOR.MOMENTUM": prior_momentum,
                "ENTROPY_WEIGHT": entropy_weight,
                "MIN_LABELLED_SHARE": min_labelled_share,
            }
        )
        self.weight, self.start_iter, self.ramp_iters = weight, start_iter, ramp_iters
        self.box_regression, self.soft = box_regression, soft
        self.jitter_count, self.jitter_scale = jitter_count, jitter_scale
        self.max_spread = max_spread
        self.prior_weight, self.entropy_weight = prior_weight, entropy_weight
        self.min_labelled_share = min_labelled_share
        self._statistics_arguments = {
            "threshold": threshold,
            "floor": adaptive_floor,
            "confidence_momentum": adaptive_momentum,
            "frequencies": frequencies,
            "prediction_momentum": prior_momentum,
        }
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
        return {
            **common_arguments(cfg),
            "box_regression": node.BOX_REGRESSION,
            "jitter_count": node.JITTER.COUNT,
            "jitter_scale": node.JITTER.SCALE,
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
        num_classes = check_detector(detector, [key for key, on in wanted.items() if on])
        self.statistics = PseudoLabelStatistics(num_classes, **self._statistics_arguments)  # type: ignore[arg-type]
        if hasattr(detector, "roi_heads"):
            self._record = install_recorder(detector)

    @torch.no_grad()
    def label_target(self, step: AdaptationStep) -> Sequence[dict[str, Any]]:
        """Return the strong views with the teacher's detections in the weak views as labels.

        Raises:
            ValueError: pictures without two views, or too few labelled pictures in the batch.
        """
        assert step.source is not None and step.teacher is not None
        check_share(len(step.source.inputs), len(step.target_inputs), self.min_labelled_share)
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
            {**{key: x[key] for key in KEPT if key in x}, "image": strong, "instances": label}
            for x, (_, strong), label in zip(step.target_inputs, views, self._labels)
        ]

    def _choose(self, detections: list[Instances]) -> list[Instances]:
        """Return the detections above their class's threshold as labels; note and log them."""
        scores = torch.cat([d.scores for d in detections]).float()
        classes = torch.cat([d.pred_classes for d in detections])
        self.statistics.add_scores(scores, classes)
        thresholds = self.statistics.thresholds()
        labels = []
        for found in detections:
            sure = found[found.scores.float() >= thresholds[found.pred_classes]]
            boxes = Boxes(sure.pred_boxes.tensor.float())
            label = Instances(found.image_size, gt_boxes=boxes, gt_classes=sure.pred_classes)
            labels.append(label[boxes.nonempty()])
        kept = scores[scores >= thresholds[classes]]
        storage = get_event_storage()
        count = sum(len(label) for label in labels)
        storage.put_scalar(f"{self.name}/boxes_per_picture", count / len(labels))
        if len(kept):
            storage.put_scalar(f"{self.name}/mean_score", float(kept.mean()))
        storage.put_scalar(f"{self.name}/threshold_lowest", float(thresholds.min()))
        storage.put_scalar(f"{self.name}/threshold_mean", float(thresholds.mean()))
        return labels

    def forward(self, step: AdaptationStep) -> dict[str, Tensor]:
        """Return the weighted losses on the pseudo-labels."""
        assert step.source is not None and step.target is not None
        if self._normalizer is not None:
            # The running number of positives stays that of the labelled pictures.
            step.detector.loss_normalizer = self._normalizer
        losses = {
            key: loss
            for key, loss in step.target.losses.items()
            if "cls" in key
            or (self.box_regression == "all" and any(word in key for word in _LOCALISATION))
        }
        if self._record is not None:
            classes = torch.cat([x["instances"].gt_classes for x in step.source.inputs])
            self.statistics.add_labels(classes.to(self.statistics.source_counts.device))
            losses.update(self._roi_losses(step.detector, self._record.take(), step.iteration))
            self._teacher_pass = None
        weight = self.current_weight(step.iteration)
        get_event_storage().put_scalar(f"{self.name}/weight", weight, smoothing_hint=False)
        return {key: weight * loss for key, loss in losses.items()}

    def current_weight(self, iteration: int) -> float:
        """Return the weight of the losses at an iteration."""
        return ramped_weight(self.weight, iteration, self.start_iter, self.ramp_iters)

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
                trained = classes.clone()
                trained[foreground] = classes[foreground].where(
                    reliable[rows[foreground]], classes.new_tensor(heads.num_classes)
                )
                proposals = torch.cat([one.tensor for one in stage.boxes])
                loss = predictor.box_reg_loss(proposals, boxes, stage.deltas, trained)
                factor = predictor.loss_weight.get("loss_box_reg", 1.0)
                losses[f"loss_box_reg{ending}"] = loss * factor
        share = foreground.float().mean()
        get_event_storage().put_scalar(f"{self.name}/share_foreground", float(share))
        regularised = regularisers(
            stages[-1].logits[foreground, :-1],
            self.statistics,
            prior_weight=self.prior_weight,
            entropy_weight=self.entropy_weight,
            name=self.name,
        )
        return {**losses, **regularised}

    def _reliable(self, iteration: int) -> Tensor:
        """Return for each label (R,) of the batch whether the teacher finds its box again."""
        assert self._teacher_pass is not None
        generator = step_generator(iteration, device=self._labels[0].gt_boxes.device)
        spread = self._teacher_pass.spread(
            self._labels, self.jitter_count, self.jitter_scale, generator
        )
        reliable = spread <= self.max_spread
        if len(reliable):
            share = float(reliable.float().mean())
            get_event_storage().put_scalar(f"{self.name}/share_reliable", share)
        return reliable
