"""Check before training that data sets and model agree, with the mend in each message."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterable, Sequence
from typing import Any

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog

from ..config.combinations import ADAPTIVE, configured_detector, lookup
from .coco import LabelCounts

logger = logging.getLogger(__name__)

_PATCH = ("MODEL.PATCH_CLASSIFIER.NUM_CLASSES", "thing_classes")
_ROI = ("MODEL.ROI_HEADS.NUM_CLASSES", "thing_classes")
_SEM_SEG = ("MODEL.SEM_SEG_HEAD.NUM_CLASSES", "stuff_classes")

#: Meta-architecture -> (key of its number of classes, metadata field with the class names).
#: A new meta-architecture adds its line here; unknown ones are not checked.
CLASS_KEYS = {
    "GeneralizedRCNN": [_ROI],
    "PanopticFPN": [_ROI, _SEM_SEG],
    "SemanticSegmentor": [_SEM_SEG],
    "RetinaNet": [("MODEL.RETINANET.NUM_CLASSES", "thing_classes")],
    "FCOS": [("MODEL.FCOS.NUM_CLASSES", "thing_classes")],
    "PatchClassifier": [_PATCH],
    "SoftLabelClassifier": [_PATCH],
}


def validate_datasets(cfg: CfgNode) -> None:
    """Check the data sets of ``cfg.DATASETS`` against the model.

    Checked: the name is registered; the number of classes; equal class names in all sets; that
    there is something to learn from; masks and their format; the ignore value of semantic labels. A
    data set without labels (no class names) passes as a test set. Of ``DATASETS.TARGET``, whose
    labels are not read, the names are checked; of the baseline "oracle", which trains on those
    labels, everything.

    Raises:
        KeyError: unknown data set name (the message suggests the nearest).
        ValueError: a disagreement, or no target; the message names the key and the line to write.
        FileNotFoundError: class names are known only after loading, and the data is missing.
    """
    keys = CLASS_KEYS.get(configured_detector(cfg), [])
    splits = ["TRAIN", "TEST"]
    if cfg.DATASETS.TRAIN and adapts(cfg):
        _check_target(cfg)
        if cfg.MODEL.ADAPT.BASELINE == "oracle":
            splits.append("TARGET")
    elif (
        configured_detector(cfg) != "SoftLabelClassifier"
        and cfg.DATASETS.TRAIN
        and cfg.DATASETS.TARGET
    ):
        logger.warning(
            "DATASETS.TARGET %s is not used: only MODEL.META_ARCHITECTURE %s, or a trainer that "
            "calls drfpn_da.adapt and add_target, adapts to a target",
            list(cfg.DATASETS.TARGET),
            " or ".join(ADAPTIVE),
        )
    for split in splits:
        for name in cfg.DATASETS[split]:
            check_registered(name, f"DATASETS.{split}")
            if split != "TEST":
                _check_labelled(cfg, name, split)
        check_classes(cfg, cfg.DATASETS[split], f"DATASETS.{split}")
        if split != "TEST" and any(field == "thing_classes" for _, field in keys):
            _check_usable(cfg.DATASETS[split], f"DATASETS.{split}")
        for name in cfg.DATASETS[split]:
            _check_masks(cfg, name, split)
    for _, field in keys:
        _check_same_names([name for split in splits for name in cfg.DATASETS[split]], field)


def check_classes(cfg: CfgNode, datasets: Iterable[str], asked_by: str) -> None:
    """Check the classes of data sets against those of the model that meets their labels.

    Every tool that joins a model with a label file calls it. A data set without class names passes.

    Args:
        cfg: of the model.
        datasets: names.
        asked_by: key or option that names them, for messages.

    Raises:
        KeyError: unknown data set name.
        ValueError: another number of classes, another value of unlabelled pixels, or sets that
            differ among themselves.
        FileNotFoundError: class names are known only after loading, and the data is missing.
    """
    names = list(datasets)
    for name in names:
        check_registered(name, asked_by)
    for key, field in CLASS_KEYS.get(configured_detector(cfg), []):
        for name in names:
            _check_classes(cfg, name, key, field)
        _check_same_names(names, field)


def log_findings(datasets: Iterable[str]) -> None:
    """Log the table of what the check of each data set's file found, if it found anything.

    Registration says the same in short, but before a run has its log.
    """
    for name in dict.fromkeys(datasets):
        findings = MetadataCatalog.get(name).get("findings", None)
        if findings is not None and list(findings):
            logger.info("Dataset '%s' (%s):\n%s", name, findings.file, findings.table())


def require_target(cfg: CfgNode) -> None:
    """Raise ValueError unless there is a target data set."""
    if cfg.DATASETS.TARGET:
        return
    if cfg.MODEL.ADAPT.BASELINE == "oracle":
        reason = "MODEL.ADAPT.BASELINE oracle trains on its labels"
    elif cfg.MODEL.ADAPT.OBJECTIVES:
        objectives = list(cfg.MODEL.ADAPT.OBJECTIVES)
        reason = f"MODEL.ADAPT.OBJECTIVES {objectives} need target pictures"
    else:
        reason = f"MODEL.META_ARCHITECTURE {cfg.MODEL.META_ARCHITECTURE} needs target pictures"
    raise ValueError(
        f"DATASETS.TARGET is empty, but {reason}: name a data set, register a folder of pictures "
        "(--register-images NAME FOLDER), or write MODEL.ADAPT.BASELINE source_only"
    )


def adapts(cfg: CfgNode) -> bool:
    """Whether training reads the target data sets."""
    name = cfg.MODEL.META_ARCHITECTURE
    # A config of detectron2 alone has no MODEL.ADAPT.
    if name not in ADAPTIVE or cfg.MODEL.ADAPT.BASELINE == "source_only":
        return False
    node = cfg.MODEL.ADAPT
    return bool(node.OBJECTIVES or ADAPTIVE[name]) or node.BASELINE == "oracle"


def _check_target(cfg: CfgNode) -> None:
    """Check the names of the target; say aloud what is allowed, but seldom meant."""
    require_target(cfg)
    for name in cfg.DATASETS.TARGET:
        check_registered(name, "DATASETS.TARGET")
        if name in cfg.DATASETS.TRAIN:
            few = cfg.DATASETS.LABELLED.COUNT or cfg.DATASETS.LABELLED.FILE
            logger.warning(
                "'%s' is in DATASETS.TRAIN and in DATASETS.TARGET: %s",
                name,
                "its labelled pictures (DATASETS.LABELLED) are also among those without labels"
                if few
                else "no shift to adapt to",
            )
        if cfg.MODEL.ADAPT.BASELINE == "oracle":
            continue
        if name in cfg.DATASETS.TEST:
            logger.warning(
                "'%s' is in DATASETS.TARGET and in DATASETS.TEST: training sees the pictures that "
                "are tested on (transductive); their labels are used for evaluation only",
                name,
            )


def check_registered(name: str, key: str = "") -> None:
    """Raise KeyError, with the nearest names, when a data set is not registered.

    Args:
        name: of the data set.
        key: config key that has it, for the message.
    """
    known = DatasetCatalog.list()
    if name in known:
        return
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    raise KeyError(
        f"dataset '{name}'{f' ({key})' if key else ''} is not registered; {hint}"
        "Register your own with --register NAME ANNOTATIONS.json IMAGES or, without labels, with "
        "--register-images NAME FOLDER"
    )


def class_names(name: str, field: str = "thing_classes") -> list[str] | None:
    """Return a data set's class names, loading it when the metadata does not have them yet.

    Args:
        name: registered data set.
        field: ``thing_classes`` or ``stuff_classes``.

    Returns:
        The names, or None when the data set has no such labels.
    """
    meta = MetadataCatalog.get(name)
    if not (hasattr(meta, "thing_classes") or hasattr(meta, "stuff_classes")):
        # detectron2's register_coco_instances learns its classes from the JSON.
        DatasetCatalog.get(name)
    return meta.get(field, None)


def check_class_count(key: str, count: int, name: str, names: Sequence[str]) -> None:
    """Raise ValueError if a data set has other classes, by number, than ``key`` says."""
    if count != len(names):
        shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
        raise ValueError(
            f"{key} is {count}, but dataset '{name}' has {len(names)} classes ({shown}); "
            f"write {key} {len(names)}, or give a model trained on {count} classes the labels of "
            "those alone"
        )


def _check_labelled(cfg: CfgNode, name: str, split: str) -> None:
    detector = configured_detector(cfg)
    for _, field in CLASS_KEYS.get(detector, []):
        if not class_names(name, field):
            kind = "semantic labels" if field == "stuff_classes" else "boxes"
            raise ValueError(
                f"dataset '{name}' has no {kind} ({field}), which {detector} needs for training; "
                f"change DATASETS.{split}"
            )


def _check_classes(cfg: CfgNode, name: str, key: str, field: str) -> None:
    names = class_names(name, field)
    if not names:
        return
    check_class_count(key, int(lookup(cfg, key)), name, names)
    ignore = MetadataCatalog.get(name).get("ignore_label", None)
    value = cfg.MODEL.SEM_SEG_HEAD.IGNORE_VALUE
    if field == "stuff_classes" and ignore is not None and ignore != value:
        raise ValueError(
            f"MODEL.SEM_SEG_HEAD.IGNORE_VALUE is {value}, but dataset '{name}' marks unlabelled "
            f"pixels with {ignore}; write MODEL.SEM_SEG_HEAD.IGNORE_VALUE {ignore}"
        )


def fit_mask_format(cfg: CfgNode) -> None:
    """Write INPUT.MASK_FORMAT bitmask, and say so, where training sets have run-length masks.

    Polygons, beside which they may stand, can be read as bitmasks; not the other way round.
    """
    if not cfg.MODEL.MASK_ON or cfg.INPUT.MASK_FORMAT != "polygon":
        return
    names = [*cfg.DATASETS.TRAIN]
    if cfg.MODEL.ADAPT.BASELINE == "oracle":
        names += cfg.DATASETS.TARGET
    for name in names:
        known = name in DatasetCatalog.list()
        if known and MetadataCatalog.get(name).get("mask_format", None) == "bitmask":
            logger.warning(
                "INPUT.MASK_FORMAT is 'bitmask' instead of 'polygon': dataset '%s' has masks "
                "stored as RLE",
                name,
            )
            cfg.INPUT.MASK_FORMAT = "bitmask"
            return


def _check_usable(datasets: Sequence[str], key: str) -> None:
    """Refuse training sets of which nothing can be learnt, as far as that is known."""
    counts = [MetadataCatalog.get(name).get("label_counts", None) for name in datasets]
    if not counts or any(c is None or c.usable for c in counts):
        return
    reasons = "; ".join(f"'{name}' ({c.file}): {_unusable(c)}" for name, c in zip(datasets, counts))
    raise ValueError(f"{key} has nothing to learn from: {reasons}")


def _unusable(counts: LabelCounts) -> str:
    if not counts.annotations:
        return (
            "it has no annotations; annotate it, or register the pictures alone as a target set "
            "with --register-images NAME FOLDER"
        )
    if counts.crowds == counts.annotations:
        return (
            f"all {counts.crowds} annotations have iscrowd 1, which are never trained on; write 0 "
            "where an annotation is a single object"
        )
    return (
        f"of {counts.annotations} annotations {counts.crowds} have iscrowd 1, and of the others no "
        "box has a part inside its picture; correct the boxes"
    )


def _check_masks(cfg: CfgNode, name: str, split: str) -> None:
    meta = MetadataCatalog.get(name)
    mask_format, counts = meta.get("mask_format", None), meta.get("label_counts", None)
    if not cfg.MODEL.MASK_ON or mask_format is None or not meta.get("thing_classes", None):
        return
    if split == "TEST":
        if mask_format == "none" and (counts is None or counts.annotations):
            logger.warning(
                "dataset '%s' (DATASETS.TEST) has no masks: boxes alone are measured on it", name
            )
        elif counts is not None and mask_format != "none":
            _refuse_bare(name, counts, [*counts.bare, *counts.bare_crowds])
        return
    if mask_format == "none":
        raise ValueError(f"dataset '{name}' has no masks; write MODEL.MASK_ON False")
    if counts is not None:
        _refuse_bare(name, counts, [i for i in counts.bare if i not in counts.left_out])
    if mask_format == "bitmask" and cfg.INPUT.MASK_FORMAT != "bitmask":
        raise ValueError(
            f"dataset '{name}' stores masks as RLE, but INPUT.MASK_FORMAT is "
            f"'{cfg.INPUT.MASK_FORMAT}'; write INPUT.MASK_FORMAT bitmask"
        )


def _refuse_bare(name: str, counts: LabelCounts, bare: Sequence[Any]) -> None:
    if bare:
        raise ValueError(
            f"dataset '{name}': {len(bare)} of {counts.annotations} annotations of {counts.file} "
            f"have no mask (first {', '.join(map(str, bare[:3]))}), which MODEL.MASK_ON needs; "
            "outline or remove them, or write MODEL.MASK_ON False"
        )


def _check_same_names(datasets: list[str], field: str) -> None:
    first: tuple[str, list[str]] | None = None
    for name in datasets:
        names = class_names(name, field)
        if not names:
            continue
        if first is None:
            first = (name, list(names))
        elif list(names) != first[1]:
            raise ValueError(
                f"datasets '{first[0]}' and '{name}' differ in {field}: "
                f"{first[1][:8]} against {list(names)[:8]}; use sets with the same classes in the "
                "same order"
            )
