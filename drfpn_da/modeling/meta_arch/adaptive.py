"""``AdaptiveModel``: a plain detector and the objectives that adapt it, in one forward."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from typing import Any, Optional

from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.structures import ImageList
from detectron2.utils.events import get_event_storage
from torch import Tensor, nn

from ...config.combinations import late_teacher
from ...functional import SOURCE, TARGET
from ..feature_taps import FeatureTaps
from ..inner_keys import InnerKeys
from ..objective import OBJECTIVE_REGISTRY, AdaptationStep, DomainPass, Objective
from ..step_scalars import scalars_read_at_once
from ..teacher import MeanTeacher

logger = logging.getLogger(__name__)

Inputs = list[dict[str, Any]]
#: Values of "domain" in a data set dict; source where it is absent.
DOMAINS = {"source": SOURCE, "target": TARGET}
BASELINES = ("", "source_only", "oracle")


@META_ARCH_REGISTRY.register()
class AdaptiveModel(nn.Module):
    """A detector, the objectives beside it, and perhaps its mean teacher.

    Training takes a detectron2 batch in which ``"domain": "target"`` marks pictures without labels.
    The detector computes its losses on the source pictures, its backbone alone runs on the target
    pictures, as far as the last feature that is asked for, and each objective adds losses made of
    the features recorded on the way. Evaluation is the detector's own. Checkpoints hold the
    detector's own keys, and ``objectives.*`` and ``teacher.*``: those of plain detectors load here
    and these load there.

    Args:
        detector: any detectron2 meta-architecture with a ``backbone``.
        objectives: in the order in which they are evaluated; with different names.
        teacher_decay: of the mean teacher.
        teacher_start_iter: until then the teacher equals the detector.
        teacher_period: iterations between two moves of the teacher.
        teacher: keep a teacher although no objective needs one.
        teacher_average_buffers: see :class:`MeanTeacher`.
        teacher_train_mode: see :class:`MeanTeacher`; for objectives that allow it.
        evaluate: "student" or "teacher".

    Raises:
        ValueError: an objective does not fit the detector; names the key and the mend.
        KeyError: an objective taps a feature that does not exist.
    """

    #: Children that evaluation does without, or that start from the detector where a checkpoint has
    #: none; see :class:`drfpn_da.checkpoint.PredictionCheckpointer`.
    training_parts = ("objectives", "teacher")

    @configurable
    def __init__(
        self,
        detector: nn.Module,
        objectives: Sequence[Objective] = (),
        *,
        teacher: bool = False,
        teacher_decay: float = 0.9996,
        teacher_start_iter: int = 0,
        teacher_period: int = 1,
        teacher_average_buffers: bool = True,
        teacher_train_mode: bool = False,
        evaluate: str = "student",
    ) -> None:
        super().__init__()
        names = [objective.name for objective in objectives]
        if len(set(names)) < len(names):
            raise ValueError(f"MODEL.ADAPT.OBJECTIVES: two objectives have one name in {names}")
        labellers = [o for o in objectives if o.labels_target]
        _refuse_two_labellers(labellers)
        _refuse_without_labeller([o for o in objectives if o.needs_labeller], labellers)
        wants_teacher = teacher or evaluate == "teacher"
        if evaluate not in ("student", "teacher"):
            raise ValueError(f"MODEL.TEACHER.EVAL is '{evaluate}'; write student or teacher")
        _check_teacher(objectives, teacher_start_iter, teacher_train_mode)
        self.evaluate = evaluate
        self._followed = -1
        self.detector = detector
        # Copied before any objective installs hooks on the detector.
        self.teacher = (
            MeanTeacher(
                detector,
                teacher_decay,
                teacher_start_iter,
                teacher_period,
                average_buffers=teacher_average_buffers,
                train_mode=teacher_train_mode,
            )
            if wants_teacher or any(objective.needs_teacher for objective in objectives)
            else None
        )
        self.objectives = nn.ModuleDict(dict(zip(names, objectives)))
        self._taps = _attach(self._objectives(), detector)
        self._teacher_taps = self._attach_teacher()
        self._refuse_frozen_taps()
        InnerKeys(self, "detector", own=["objectives", "teacher"])
        self.register_load_state_dict_post_hook(_start_teacher)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Read ``MODEL.ADAPT`` and ``MODEL.TEACHER``; build the detector and the objectives."""
        node = cfg.MODEL.ADAPT
        if node.DETECTOR == cls.__name__:
            raise ValueError(
                "MODEL.ADAPT.DETECTOR names the detector inside AdaptiveModel, for example "
                "GeneralizedRCNN; it cannot be AdaptiveModel"
            )
        if node.BASELINE not in BASELINES:
            raise ValueError(
                f"MODEL.ADAPT.BASELINE is '{node.BASELINE}'; write one of {list(BASELINES)}"
            )
        detector = META_ARCH_REGISTRY.get(node.DETECTOR)(cfg)
        taps = FeatureTaps(detector)
        names = [] if node.BASELINE else node.OBJECTIVES
        unknown = [name for name in names if name not in OBJECTIVE_REGISTRY]
        if unknown:
            known = ", ".join(sorted(name for name, _ in OBJECTIVE_REGISTRY))
            raise KeyError(f"MODEL.ADAPT.OBJECTIVES has {unknown}; registered are: {known}")
        teacher = cfg.MODEL.TEACHER
        return {
            "detector": detector,
            "objectives": [OBJECTIVE_REGISTRY.get(name)(cfg, taps) for name in names],
            "teacher": teacher.ENABLED,
            "teacher_decay": teacher.DECAY,
            "teacher_start_iter": teacher.START_ITER,
            "teacher_period": teacher.PERIOD,
            "teacher_average_buffers": teacher.AVERAGE_BUFFERS,
            "teacher_train_mode": teacher.TRAIN_MODE,
            "evaluate": teacher.EVAL,
        }

    def _attach_teacher(self) -> Optional[FeatureTaps]:
        teacher = self.teacher
        if teacher is None:
            return None
        objectives: list[Any] = [
            teacher.add_objective(o.name, o) if o.at_inference else o for o in self._objectives()
        ]
        return _attach(objectives, teacher.detector)

    def _objectives(self) -> list[Objective]:
        return list(self.objectives.values())  # type: ignore[arg-type]

    def _refuse_frozen_taps(self) -> None:
        frozen = self._taps.without_trainable_parameters()
        if frozen:
            raise ValueError(
                f"features {frozen} are tapped, but no trainable parameter acts on them, so that "
                "training could not change them: lower MODEL.BACKBONE.FREEZE_AT (detectron2's "
                "default 2 freezes stem and res2 of a ResNet; write 1, or 0), or tap a later "
                "feature"
            )

    @property
    def device(self) -> Any:
        """Device of the detector."""
        return next(self.detector.parameters()).device

    def forward(self, batched_inputs: Inputs) -> Any:
        """Return losses by name in training, the detector's outputs in evaluation.

        Args:
            batched_inputs: data set dicts; in training at least one of the source domain.

        Raises:
            ValueError: no source picture, no target picture for an objective that needs one, or an
                unknown domain.
        """
        if self.training:
            return self._train(batched_inputs)
        return self.predict(batched_inputs, self.evaluate)

    def predict(self, batched_inputs: Inputs, by: str) -> Any:
        """Return the outputs of the "student", or of the "teacher" if there is one."""
        detector, taps = self.detector, self._taps
        if by == "teacher" and self.teacher and self._teacher_taps:
            detector, taps = self.teacher.detector, self._teacher_taps
        return self.run(detector, taps, batched_inputs)

    def plain_detector(self) -> nn.Module:
        """Return the detector that is evaluated, student or teacher, to be used by itself.

        Raises:
            ValueError: an objective takes part at inference (context vectors): the detector by
                itself is not the model.
        """
        if any(objective.at_inference for objective in self._objectives()):
            raise ValueError(
                "the detector uses context vectors, which only AdaptiveModel can give it: write "
                "MODEL.STRONG_WEAK.CONTEXT.ENABLED False and train without them"
            )
        if self.evaluate == "teacher" and self.teacher:
            return self.teacher.detector
        return self.detector

    def averages(self) -> list[tuple[MeanTeacher, nn.Module]]:
        """Return the teacher and its averages of objectives, each with what it follows."""
        if self.teacher is None:
            return []
        of_objectives: Any = self.teacher.objectives.items()
        return [
            (self.teacher, self.detector),
            *((average, self.objectives[name]) for name, average in of_objectives),
        ]

    def move_teacher(self, iteration: int) -> None:
        """Let the teacher, if any, follow the student; again in the same iteration: do nothing.

        Training does it by itself. Who uses the teacher before the forward pass of an iteration
        calls it first.
        """
        # Once, however many parts of a batch this iteration has.
        if iteration == self._followed:
            return
        for average, original in self.averages():
            average.follow(original, iteration)
        self._followed = iteration

    def run(self, detector: nn.Module, taps: FeatureTaps, batched_inputs: Inputs) -> Any:
        """Run student or teacher, recording features if an objective uses them at inference."""
        if not any(objective.at_inference for objective in self._objectives()):
            return detector(batched_inputs)
        with taps.record(picture_sizes(batched_inputs)):
            return detector(batched_inputs)

    @scalars_read_at_once()
    def _train(self, batched_inputs: Inputs) -> dict[str, Tensor]:
        source, target = split_domains(batched_inputs)
        iteration = get_event_storage().iter
        self.move_teacher(iteration)
        active = [o for o in self._objectives() if iteration >= o.start_iter]
        step = AdaptationStep(iteration, self.detector, self.teacher, target)
        needs_target = any(objective.needs_target for objective in active)
        if needs_target and not target:
            names = [objective.name for objective in active if objective.needs_target]
            raise ValueError(
                f"objectives {names} need target pictures, but the batch has none: set "
                "DATASETS.TARGET and train with a two-stream loader "
                "(drfpn_da.data.build_two_stream_loader)"
            )
        with self._taps.record(picture_sizes(source)) as features:
            losses = dict(self.detector(source))
        step.source = DomainPass(source, features, dict(losses))
        if needs_target:
            step.target = self._target_pass(step, active)
        for objective in self._objectives():
            new = objective(step) if objective in active else objective.idle()
            losses.update({f"{objective.name}/{key}": loss for key, loss in new.items()})
        return losses

    def _target_pass(self, step: AdaptationStep, active: Sequence[Objective]) -> DomainPass:
        labels = [(objective, objective.label_target(step)) for objective in active]
        labelled = [(objective, inputs) for objective, inputs in labels if inputs]
        # Again, for those that do not declare it.
        _refuse_two_labellers([objective for objective, _ in labelled])
        if labelled:
            labeller, inputs = labelled[0][0], list(labelled[0][1])
            with self._taps.record(picture_sizes(inputs)) as features:
                losses = labeller.target_losses(self.detector, inputs)
            return DomainPass(inputs, features, losses)
        inputs = step.target_inputs
        backbone: Any = self.detector.backbone
        run = partial(backbone, preprocess(self.detector, inputs).tensor)
        return DomainPass(inputs, self._taps.collect(run, picture_sizes(inputs)))


def _attach(objectives: Sequence[Objective], detector: nn.Module) -> FeatureTaps:
    taps = FeatureTaps(detector)
    for objective in objectives:
        objective.attach(detector, taps)
    return taps


def _check_teacher(objectives: Sequence[Objective], start_iter: int, train_mode: bool) -> None:
    taught = [o for o in objectives if o.needs_teacher]
    fixed = [o.name for o in taught if not o.teacher_may_train]
    if train_mode and fixed:
        raise ValueError(
            f"MODEL.TEACHER.TRAIN_MODE is True, but objectives {fixed} need predictions of a "
            "teacher in evaluation mode: write False"
        )
    late = [late_teacher(o.name, o.start_iter, start_iter) for o in taught if o.labels_target]
    if any(late):
        raise ValueError("\n".join(filter(None, late)))


def _refuse_two_labellers(labellers: Sequence[Objective]) -> None:
    names = [type(objective).__name__ for objective in labellers]
    if len(names) > 1:
        raise ValueError(
            f"MODEL.ADAPT.OBJECTIVES: {names} all label the target, but the student sees each "
            "target picture once: keep one of them. DensePseudoLabel can add its regularisers to "
            "DepthMix with MODEL.PSEUDO_LABEL.REGULARISE_ONLY True"
        )


def _refuse_without_labeller(users: Sequence[Objective], labellers: Sequence[Objective]) -> None:
    for user in users:
        if not labellers:
            raise ValueError(
                f"the objective {user.name} acts on target pictures that another objective labels "
                "(MODEL.PSEUDO_LABEL.REGULARISE_ONLY True), but no objective labels any: add "
                "DepthMix to MODEL.ADAPT.OBJECTIVES, or write REGULARISE_ONLY False"
            )
        first = labellers[0]
        if user.start_iter < first.start_iter:
            raise ValueError(
                f"the objective {user.name} starts at iteration {user.start_iter}, but acts on the "
                f"pictures that {first.name} labels from iteration {first.start_iter} on: raise "
                "its START_ITER (MODEL.PSEUDO_LABEL.START_ITER) to that, or lower the other's "
                "(MODEL.DEPTH_MIX.START_ITER)"
            )


def split_domains(batched_inputs: Inputs) -> tuple[Inputs, Inputs]:
    """Return the source and the target pictures of a batch.

    Raises:
        ValueError: an unknown domain, or no source picture.
    """
    domains = [x.get("domain", "source") for x in batched_inputs]
    unknown = sorted({str(domain) for domain in domains if domain not in DOMAINS})
    if unknown:
        raise ValueError(f"a picture's domain is {unknown}; it must be one of {list(DOMAINS)}")
    source = [x for x, domain in zip(batched_inputs, domains) if domain == "source"]
    target = [x for x, domain in zip(batched_inputs, domains) if domain == "target"]
    if not source:
        raise ValueError("the training batch has no source picture (DATASETS.TRAIN)")
    return source, target


def picture_sizes(inputs: Inputs) -> list[tuple[int, int]]:
    """Return (height, width) of each picture as it enters the model."""
    return [(int(x["image"].shape[-2]), int(x["image"].shape[-1])) for x in inputs]


def preprocess(detector: nn.Module, inputs: Inputs) -> ImageList:
    """Normalise, pad and batch pictures as the detector does for itself."""
    if hasattr(detector, "preprocess_image"):
        images: ImageList = detector.preprocess_image(inputs)  # type: ignore[operator]
        return images
    # SemanticSegmentor does it within its forward.
    mean, std = detector.pixel_mean, detector.pixel_std
    pictures = [(x["image"].to(mean.device, non_blocking=True) - mean) / std for x in inputs]
    backbone: Any = detector.backbone
    return ImageList.from_tensors(
        pictures, backbone.size_divisibility, padding_constraints=backbone.padding_constraints
    )


def _start_teacher(model: nn.Module, incompatible: Any) -> None:
    """Let averages start from what they follow when a checkpoint had none, or half of one."""
    assert isinstance(model, AdaptiveModel)
    teacher = model.teacher
    # Norms fill in their counters by themselves.
    missing = [k for k in incompatible.missing_keys if "teacher." in k and not _is_counter(k)]
    if teacher is None or not missing:
        return
    mine = [key for key in teacher.state_dict() if not _is_counter(key)]
    of_objectives = [key for key in missing if "teacher.objectives." in key]
    if len(of_objectives) == len(missing):
        logger.warning(
            "the checkpoint has a teacher without averages of objectives, for example '%s' (older "
            "versions let it use the student's): they start anew from the student's",
            missing[0],
        )
        for average, original in model.averages()[1:]:
            average.copy_from(original)
        return
    if len(missing) < len(mine):
        logger.warning(
            "the checkpoint lacks %d of the %d tensors of the teacher, for example '%s': the "
            "teacher starts anew from the detector",
            len(missing),
            len(mine),
            missing[0],
        )
    for average, original in model.averages():
        average.copy_from(original)


def _is_counter(key: str) -> bool:
    return "num_batches_tracked" in key
