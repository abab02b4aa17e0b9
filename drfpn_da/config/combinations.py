"""Which detectors a method works with, as far as a config tells: one table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Callable

from detectron2.config import CfgNode

#: Meta-architectures that train on two domains -> the detector inside; None: the one of
#: MODEL.ADAPT.DETECTOR, which adapts with the objectives of MODEL.ADAPT.OBJECTIVES only.
ADAPTIVE = {"AdaptiveModel": None, "DepthMixSegmentor": "SemanticSegmentor"}
RCNN = frozenset({"GeneralizedRCNN", "PanopticFPN"})
DENSE = frozenset({"RetinaNet", "FCOS"})
SEGMENTORS = frozenset({"SemanticSegmentor"})
CLASSIFIERS = frozenset({"PatchClassifier", "SoftLabelClassifier"})
DEPTH = frozenset({"SelfSupervisedDepth", "DepthStudent"})
#: Objectives that let a teacher label -> key of the iteration from which on.
LABELLERS = {
    "PseudoLabel": "MODEL.PSEUDO_LABEL.START_ITER",
    "DensePseudoLabel": "MODEL.PSEUDO_LABEL.START_ITER",
    "DepthMix": "MODEL.DEPTH_MIX.START_ITER",
}
#: Detectors that the table speaks of; those that others have registered pass.
KNOWN = RCNN | DENSE | SEGMENTORS | CLASSIFIERS | DEPTH


def configured_detector(cfg: CfgNode) -> str:
    """Return the name of the detector, the one inside an adaptive model."""
    name: str = cfg.MODEL.META_ARCHITECTURE
    return (ADAPTIVE[name] or cfg.MODEL.ADAPT.DETECTOR) if name in ADAPTIVE else name


def asks_for_adaptation(cfg: CfgNode) -> bool:
    """Return whether ``MODEL.ADAPT`` or ``MODEL.TEACHER`` asks for anything beside a detector."""
    adapt = cfg.MODEL.ADAPT
    return bool(adapt.OBJECTIVES or adapt.BASELINE) or has_teacher(cfg)


@dataclass(frozen=True)
class Need:
    """A value of a key that only some detectors can follow.

    Attributes:
        key: full name.
        asks: whether a value asks for the method.
        detectors: that can.
        why: what the others lack.
        mend: what to write.
    """

    key: str
    asks: Callable[[Any], bool]
    detectors: frozenset[str]
    why: str
    mend: str


def _slender_fcos(key: str, plain: Any) -> Need:
    return Need(
        f"MODEL.FCOS.{key}",
        lambda value: value != plain,
        frozenset({"FCOS"}),
        "is a part of FCOS",
        f"write {plain!r}, or FCOS in place of the detector",
    )


_WITH_ROI_HEADS = "GeneralizedRCNN or PanopticFPN in place of the detector"
NEEDS = (
    Need(
        "MODEL.ROI_HEADS.NAME",
        lambda name: name.startswith("SCN"),
        RCNN,
        "weighs proposals in ROI heads",
        f"write StandardROIHeads, or {_WITH_ROI_HEADS}",
    ),
    Need(
        "SCN_RELABEL.ENABLED",
        bool,
        RCNN,
        "gathers votes of proposals in ROI heads",
        f"write False, or {_WITH_ROI_HEADS}",
    ),
    _slender_fcos("CENTERNESS", "standard"),
    _slender_fcos("CENTERNESS_WEIGHTED_LOSS", False),
    _slender_fcos("ADAPTATION", "none"),
    _slender_fcos("TWO_STEP.ENABLED", False),
    _slender_fcos("TWO_STEP.RESIDUAL", False),
    Need(
        "SOLVER.ACCUMULATION_STEPS",
        lambda steps: steps > 1,
        KNOWN - {"SoftLabelClassifier"},
        "runs a batch in parts, of which new soft labels would be those of the last",
        "write 1, for patches are small",
    ),
    Need(
        "TEST.SLENDER.ENABLED",
        bool,
        RCNN | DENSE,
        "measures boxes and masks",
        "write False",
    ),
    Need(
        "MODEL.BACKBONE.NAME",
        lambda name: "drfpn" in name,
        KNOWN - CLASSIFIERS,
        "gives a pyramid, of which a classifier would train but one level",
        "write its body alone, such as build_mobilenetv2_backbone",
    ),
    Need(
        "MODEL.META_ARCHITECTURE",
        lambda name: name in ADAPTIVE,
        KNOWN - CLASSIFIERS - DEPTH,
        "adapts detectors and segmentors",
        "write MODEL.META_ARCHITECTURE SoftLabelClassifier to learn from pictures without classes, "
        "SelfSupervisedDepth for depth alone",
    ),
)


def impossible_combinations(cfg: CfgNode) -> Iterator[str]:
    """Yield a message for each method that the configured detector cannot follow."""
    detector = configured_detector(cfg)
    if detector not in KNOWN:
        return
    for need in NEEDS:
        value = lookup(cfg, need.key)
        if need.asks(value) and detector not in need.detectors:
            yield f"{need.key} {value} {need.why}, not for {detector}: {need.mend}"


def late_teachers(cfg: CfgNode) -> Iterator[str]:
    """Yield a message for each objective of a config that labels before its teacher starts."""
    model = cfg.MODEL
    if model.META_ARCHITECTURE not in ADAPTIVE or model.ADAPT.BASELINE:
        return
    names = set(model.ADAPT.OBJECTIVES)
    if model.META_ARCHITECTURE == "DepthMixSegmentor":
        names.add("DepthMix")
    labels = model.PSEUDO_LABEL
    if labels.REGULARISE_ONLY or (labels.STORE.ENABLED and not has_teacher(cfg)):
        names.discard("DensePseudoLabel")
    for name in sorted(names & set(LABELLERS)):
        key = LABELLERS[name]
        message = late_teacher(f"{name} ({key})", lookup(cfg, key), model.TEACHER.START_ITER)
        if message:
            yield message


def has_teacher(cfg: CfgNode) -> bool:
    """Whether there is a teacher though no objective asks for one."""
    return bool(cfg.MODEL.TEACHER.ENABLED or cfg.MODEL.TEACHER.EVAL == "teacher")


def late_teacher(labeller: str, start_iter: int, teacher_start_iter: int) -> str:
    """Return a message if a teacher starts after the one who labels with it, else "".

    Args:
        labeller: name of the objective.
        start_iter: of the objective.
        teacher_start_iter: of the teacher.
    """
    if teacher_start_iter <= start_iter:
        return ""
    return (
        f"MODEL.TEACHER.START_ITER is {teacher_start_iter}, but {labeller} lets the teacher label "
        f"from iteration {start_iter} on: in between the teacher is the student itself, which "
        f"would learn what it says; write {start_iter} or less for the teacher, or start labelling "
        f"at {teacher_start_iter}"
    )


def lookup(cfg: CfgNode, key: str) -> Any:
    """Return the value of a key by its full name.

    Raises:
        KeyError: no such key.
    """
    node: Any = cfg
    for part in key.split("."):
        node = node[part]
    return node
