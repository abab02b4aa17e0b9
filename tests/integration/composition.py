"""The table of what goes together: detectors and systems, each on a detector small enough to test.

``tools/generate_composition_docs.py`` makes docs/composition.md of it, ``test_composition.py``
tries every cell.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, Callable

from detectron2.config import CfgNode

from tests.tiny_detectors import OPTIONS, tiny_config

Options = tuple[Any, ...]


@dataclass(frozen=True)
class Detector:
    """A row: a kind of :mod:`tests.tiny_detectors`, with further options."""

    kind: str
    options: Options = ()

    @property
    def architecture(self) -> str:
        return tiny_config(self.kind, *self.options).MODEL.META_ARCHITECTURE


@dataclass(frozen=True)
class Refusal:
    """Why a detector and a system, or two systems, do not go together.

    Attributes:
        reason: for the documentation.
        error: regular expression of the message.
    """

    reason: str
    error: str


@dataclass(frozen=True)
class System:
    """A column.

    Attributes:
        switch: what turns it on, for the documentation.
        objective: its name in MODEL.ADAPT.OBJECTIVES, if it is one.
        options: keys to set, by the name of the detector.
        refused: name of a detector -> why not.
    """

    switch: str
    objective: str = ""
    options: Callable[[str], Options] = lambda detector: ()
    refused: dict[str, Refusal] = field(default_factory=dict)


PLAIN = tuple(OPTIONS["faster_rcnn_fpn"])  # the pyramid is detectron2's FPN
PYRAMID = tuple(not value if isinstance(value, bool) else value for value in PLAIN)
BOXES = ("MODEL.MASK_ON", False)
SMALL = (
    *("MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE", 16, "MODEL.RPN.POST_NMS_TOPK_TRAIN", 30),
    *("MODEL.RPN.POST_NMS_TOPK_TEST", 16, "TEST.DETECTIONS_PER_IMAGE", 6),
    *("MODEL.ROI_BOX_HEAD.FC_DIM", 32),
)

DETECTORS = {
    "Faster R-CNN": Detector("faster_rcnn", BOXES),
    "Mask R-CNN": Detector("mask_rcnn"),
    "Cascade R-CNN": Detector("cascade_mask_rcnn", BOXES),
    "RetinaNet": Detector("retinanet"),
    "FCOS": Detector("fcos"),
    "SemanticSegmentor": Detector("sem_seg"),
    "PanopticFPN": Detector("panoptic_fpn"),
    "PatchClassifier": Detector(
        "sem_seg",
        (
            *("MODEL.META_ARCHITECTURE", "PatchClassifier"),
            *("MODEL.BACKBONE.NAME", "build_mobilenetv2_backbone"),
        ),
    ),
}
RCNN = ("Faster R-CNN", "Mask R-CNN", "Cascade R-CNN")
DENSE = ("RetinaNet", "FCOS")
SEGMENTOR, PANOPTIC, CLASSIFIER = "SemanticSegmentor", "PanopticFPN", "PatchClassifier"

_NO_ADAPTATION = {
    CLASSIFIER: Refusal(
        "a classifier learns from pictures without classes as `SoftLabelClassifier`",
        r"MODEL\.META_ARCHITECTURE AdaptiveModel .* PatchClassifier: write .*SoftLabelClassifier",
    )
}
_NO_ROI_HEADS = "it acts in ROI heads, which this detector does not have"


def _for(names: Iterable[str], reason: str, error: str) -> dict[str, Refusal]:
    return dict.fromkeys(names, Refusal(reason, error))


def _no_semantic_head(name: str) -> dict[str, Refusal]:
    return {
        **_for(
            (*RCNN, *DENSE),
            "it labels pixels, and this detector has no semantic head",
            rf"{name} needs a semantic segmentor.*MODEL\.ADAPT\.DETECTOR SemanticSegmentor",
        ),
        **_NO_ADAPTATION,
    }


def _multi_task(detector: str) -> Options:
    return (
        *("MODEL.SEM_SEG_HEAD.NAME", "MultiTaskSemSegHead"),
        *("MODEL.DEPTH.IN_FEATURES", ["p2", "p3", "p4", "p5"]),
        *("MODEL.DEPTH.CHANNELS", [4, 6, 8], "MODEL.DEPTH.POSE.CHANNELS", [4, 8, 8]),
    )


SYSTEMS = {
    "DRFPN": System(
        "`MODEL.BACKBONE.NAME: build_drfpn_backbone`",
        options=lambda detector: (*PYRAMID, "MODEL.BACKBONE.NAME", "build_drfpn_backbone"),
        refused=_for(
            [CLASSIFIER],
            "a classifier would train one level of the pyramid",
            r"MODEL\.BACKBONE\.NAME build_drfpn_backbone .*, not for PatchClassifier: write",
        ),
    ),
    "Strong-Weak": System(
        "objective `StrongWeakAlignment`",
        "StrongWeakAlignment",
        lambda detector: (
            *("MODEL.STRONG_WEAK.GLOBAL.CHANNELS", [64, 64, 64]),
            *("MODEL.STRONG_WEAK.LOCAL.CHANNELS", [32, 16]),
        ),
        _NO_ADAPTATION,
    ),
    "context vectors": System(
        "`MODEL.STRONG_WEAK.CONTEXT.ENABLED` beside Strong-Weak",
        "StrongWeakAlignment",
        lambda detector: (
            *SYSTEMS["Strong-Weak"].options(detector),
            *("MODEL.STRONG_WEAK.CONTEXT.ENABLED", True),
        ),
        {
            **_for(
                (*DENSE, SEGMENTOR),
                _NO_ROI_HEADS,
                r"MODEL\.STRONG_WEAK\.CONTEXT\.ENABLED needs ROI box heads.*switch it off",
            ),
            **_NO_ADAPTATION,
        },
    ),
    "SCN": System(
        "`MODEL.ROI_HEADS.NAME: SCNROIHeads` (`SCNCascadeROIHeads`), `SCN_RELABEL.ENABLED`",
        options=lambda detector: (
            *("SCN_RELABEL.ENABLED", True, "MODEL.ROI_HEADS.NAME"),
            "SCNCascadeROIHeads" if detector == "Cascade R-CNN" else "SCNROIHeads",
        ),
        refused=_for(
            (*DENSE, SEGMENTOR, CLASSIFIER),
            _NO_ROI_HEADS,
            r"MODEL\.ROI_HEADS\.NAME SCNROIHeads .*, not for \w+: write StandardROIHeads",
        ),
    ),
    "PseudoLabel": System(
        "objective `PseudoLabel`",
        "PseudoLabel",
        lambda detector: (
            # An untrained teacher is sure of nothing.
            *("MODEL.PSEUDO_LABEL.THRESHOLD", 0.0, "MODEL.PSEUDO_LABEL.ADAPTIVE.FLOOR", 0.0),
            *("MODEL.ROI_HEADS.SCORE_THRESH_TEST", 0.0, "MODEL.RETINANET.SCORE_THRESH_TEST", 0.0),
            *("MODEL.FCOS.SCORE_THRESH_TEST", 0.0),
            *("INPUT.TARGET_VIEWS", ["weak", "strong"]),
        ),
        {
            "Mask R-CNN": Refusal(
                "its labels are boxes, without masks: `MODEL.MASK_ON: False`",
                r"PseudoLabel makes boxes, no masks; write MODEL\.MASK_ON False",
            ),
            **_for(
                (SEGMENTOR, PANOPTIC),
                "it labels boxes; segmentors take `DensePseudoLabel`",
                r"PseudoLabel teaches boxes, not \w+; write MODEL\.ADAPT\.DETECTOR",
            ),
            **_NO_ADAPTATION,
        },
    ),
    "DensePseudoLabel": System(
        "objective `DensePseudoLabel`",
        "DensePseudoLabel",
        lambda detector: (
            *("MODEL.PSEUDO_LABEL.THRESHOLD", 0.0, "MODEL.PSEUDO_LABEL.SOFT", True),
            *("INPUT.TARGET_VIEWS", ["weak", "strong"]),
        ),
        _no_semantic_head("the objective DensePseudoLabel"),
    ),
    "DepthMix": System(
        "objective `DepthMix`, or `DepthMixSegmentor`",
        "DepthMix",
        lambda detector: (
            *("MODEL.DEPTH_MIX.CONFIDENCE_RULE", "off", "INPUT.DISPARITY.ENABLED", True),
        ),
        _no_semantic_head("the objective DepthMix"),
    ),
    "SelfSupervisedDepth": System(
        "objective `SelfSupervisedDepth`, `MODEL.SEM_SEG_HEAD.NAME: MultiTaskSemSegHead`",
        "SelfSupervisedDepth",
        _multi_task,
        _no_semantic_head("the objective SelfSupervisedDepth"),
    ),
    "slender FCOS": System(
        "`MODEL.FCOS.CENTERNESS`, `ADAPTATION`, `TWO_STEP`",
        options=lambda detector: (
            *("MODEL.FCOS.CENTERNESS", "slender", "MODEL.FCOS.ADAPTATION", "unsupervised"),
            *("MODEL.FCOS.TWO_STEP.ENABLED", True),
        ),
        refused=_for(
            [name for name in DETECTORS if name != "FCOS"],
            "its parts are FCOS's",
            r"MODEL\.FCOS\.CENTERNESS slender is a part of FCOS, not for \w+: write 'standard'",
        ),
    ),
    "slender evaluation": System(
        "`TEST.SLENDER.ENABLED`",
        options=lambda detector: ("TEST.SLENDER.ENABLED", True),
        refused=_for(
            (SEGMENTOR, CLASSIFIER),
            "it measures boxes and masks",
            r"TEST\.SLENDER\.ENABLED True measures boxes and masks, not for \w+: write False",
        ),
    ),
}
#: Pairs that a detector could hold, but that contradict each other.
_TWO_LABELLERS = Refusal(
    "both label the target, which the student sees once",
    r"all label the target, but the student sees each target picture once: keep one of them",
)
CONFLICTS = {
    ("PseudoLabel", "DensePseudoLabel"): _TWO_LABELLERS,
    ("PseudoLabel", "DepthMix"): _TWO_LABELLERS,
    ("DensePseudoLabel", "DepthMix"): Refusal(
        "both label the target; with `MODEL.PSEUDO_LABEL.REGULARISE_ONLY: True` the regularisers "
        "of the one act beside the other",
        r"\['DensePseudoLabel', 'DepthMix'\] all label the target.*REGULARISE_ONLY True",
    ),
}
#: What resolves a conflict.
RESOLVED = {
    ("DensePseudoLabel", "DepthMix"): (
        *("MODEL.PSEUDO_LABEL.REGULARISE_ONLY", True, "MODEL.PSEUDO_LABEL.PRIOR.WEIGHT", 0.1),
    ),
}
#: Configs with nearly everything, which are trained as they are.
ALL_IN_ONE = {
    "all_in_one/streets/faster_rcnn_mobilenetv2_drfpn_mini.yaml": (
        *("DRFPN", "Strong-Weak", "SCN", "PseudoLabel"),
    ),
    "all_in_one/streets/semseg_mobilenetv2_drfpn_mini.yaml": ("DRFPN", "DepthMix", "Strong-Weak"),
}


@dataclass(frozen=True)
class Cell:
    """A detector with one or two systems; ``refusal`` is None where they go together."""

    detector: str
    systems: tuple[str, ...]
    refusal: Refusal | None = None
    options: Options = ()

    def __str__(self) -> str:
        return " + ".join((self.detector, *self.systems))


def common_detectors(*systems: str) -> list[str]:
    """Detectors that take each of the systems."""
    return [d for d in DETECTORS if not any(d in SYSTEMS[system].refused for system in systems)]


def cells_of_detectors() -> Iterator[Cell]:
    """Every detector with every system."""
    for detector in DETECTORS:
        for name, system in SYSTEMS.items():
            yield Cell(detector, (name,), system.refused.get(detector))


def cells_of_pairs() -> Iterator[Cell]:
    """Every two systems, on the first detector that takes both.

    Without one, each is tried on the first detector that takes the other, and refused there.
    """
    for pair in combinations(SYSTEMS, 2):
        if set(pair) == {"Strong-Weak", "context vectors"}:
            continue  # the latter is a part of the former
        common = common_detectors(*pair)
        if common:
            yield Cell(common[0], pair, CONFLICTS.get(pair))
        if pair in RESOLVED:
            yield Cell(common[0], pair, None, RESOLVED[pair])
        for taken, other in () if common else (pair, pair[::-1]):
            detector = common_detectors(taken)[0]
            refusal = CONFLICTS.get(pair, SYSTEMS[other].refused[detector])
            yield Cell(detector, pair, refusal)


def build_config(detector: str, systems: Iterable[str], *options: Any) -> CfgNode:
    """The config of a detector with systems; refused or not."""
    base = DETECTORS[detector]
    objectives: list[str] = []
    words: list[Any] = [*PLAIN, *SMALL, *base.options]
    for system in (SYSTEMS[name] for name in systems):
        words += system.options(detector)
        if system.objective and system.objective not in objectives:
            objectives.append(system.objective)
    if objectives:
        words += ["MODEL.META_ARCHITECTURE", "AdaptiveModel"]
        words += ["MODEL.ADAPT.DETECTOR", base.architecture, "MODEL.ADAPT.OBJECTIVES", objectives]
    return tiny_config(base.kind, *words, *options)
