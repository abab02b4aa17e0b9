"""Checks of the values, detectors and images that pseudo-labels need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

_KEY = "MODEL.PSEUDO_LABEL"
#: Shares that may be 1, and shares that may not.
_CLOSED = ("THRESHOLD", "ADAPTIVE.FLOOR")
_OPEN = ("ADAPTIVE.MOMENTUM", "PRIOR.MOMENTUM", "MIN_LABELLED_SHARE")


def check_common(values: Mapping[str, Any]) -> None:
    """Refuse shares, thresholds and weights out of range.

    Args:
        values: of the keys below ``MODEL.PSEUDO_LABEL``.

    Raises:
        ValueError: names the key and what it may be.
    """
    for key in (*_CLOSED, *_OPEN):
        value = values[key]
        if not (0 <= value < 1 or (value == 1 and key in _CLOSED)):
            end = "]" if key in _CLOSED else ")"
            raise ValueError(f"{_KEY}.{key} is {value}; it must be in [0, 1{end}")
    if values["ADAPTIVE.FLOOR"] > values["THRESHOLD"]:
        raise ValueError(
            f"{_KEY}.ADAPTIVE.FLOOR {values['ADAPTIVE.FLOOR']} is above THRESHOLD "
            f"{values['THRESHOLD']}; adaptive thresholds lie between the two"
        )
    for key in ("WEIGHT", "RAMP_ITERS", "PRIOR.WEIGHT", "ENTROPY_WEIGHT"):
        if values[key] < 0:
            raise ValueError(f"{_KEY}.{key} is {values[key]}; it cannot be negative")


def check_detector(detector: nn.Module, roi_options: Sequence[str]) -> int:
    """Return the number of classes of a detector that pseudo-labels can teach.

    Args:
        detector: the student.
        roi_options: keys in use that need ROI heads, below ``MODEL.PSEUDO_LABEL``.

    Raises:
        ValueError: a detector of another kind, with further heads, or without ROI heads where they
            are needed.
    """
    kind = type(detector).__name__
    heads: Any = getattr(detector, "roi_heads", None)
    boxes_only = hasattr(detector, "num_classes") or heads is not None
    if not boxes_only or hasattr(detector, "sem_seg_head"):
        raise ValueError(
            f"MODEL.ADAPT.OBJECTIVES: PseudoLabel teaches boxes, not {kind}; write "
            "MODEL.ADAPT.DETECTOR GeneralizedRCNN, RetinaNet or FCOS, or for SemanticSegmentor the "
            "objective DensePseudoLabel"
        )
    if heads is None:
        if roi_options:
            raise ValueError(
                f"{_KEY}.{roi_options[0]} needs ROI heads, which {kind} does not have; leave it "
                "at its default, or write MODEL.ADAPT.DETECTOR GeneralizedRCNN"
            )
        return int(detector.num_classes)  # type: ignore[arg-type]
    for word in ("mask", "keypoint"):
        if getattr(heads, f"{word}_on", False):
            raise ValueError(
                f"MODEL.ADAPT.OBJECTIVES: PseudoLabel makes boxes, no {word}s; write "
                f"MODEL.{word.upper()}_ON False"
            )
    predictors = heads.box_predictor
    predictors = list(predictors) if isinstance(predictors, nn.ModuleList) else [predictors]
    if roi_options and any(getattr(p, "use_sigmoid_ce", False) for p in predictors):
        raise ValueError(
            f"{_KEY}.{roi_options[0]} needs classes that exclude each other; write "
            "MODEL.ROI_BOX_HEAD.USE_SIGMOID_CE False"
        )
    return int(heads.num_classes)


def check_share(labelled: int, unlabelled: int, least: float) -> None:
    """Refuse a batch with fewer labelled pictures than the smallest share in [0, 1).

    Raises:
        ValueError: names the keys of the batch.
    """
    share = labelled / (labelled + unlabelled)
    if share < least:
        raise ValueError(
            f"{labelled} of {labelled + unlabelled} pictures of this process's batch are labelled, "
            f"less than {_KEY}.MIN_LABELLED_SHARE {least}: raise SOLVER.IMS_PER_BATCH or lower "
            "SOLVER.TARGET_IMS_PER_BATCH"
        )


def views_of(sample: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """Return the weak and the strong view of a target picture, each (C, H, W).

    Raises:
        ValueError: there are no two views, or their sizes differ.
    """
    views: Mapping[str, Tensor] = sample.get("views", {})
    missing = [name for name in ("weak", "strong") if name not in views]
    if missing:
        raise ValueError(
            f"PseudoLabel needs two views of each target picture, but {missing} are missing "
            f"({sample.get('file_name', 'picture without a file name')}): write "
            'INPUT.TARGET_VIEWS ["weak", "strong"]'
        )
    weak, strong = views["weak"], views["strong"]
    if weak.shape[-2:] != strong.shape[-2:]:
        raise ValueError(
            f"the views of a picture are {tuple(weak.shape[-2:])} and {tuple(strong.shape[-2:])}; "
            "a registered view must not move or resize anything"
        )
    return weak, strong
