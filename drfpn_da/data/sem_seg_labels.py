"""Label maps that no loss can be computed from: ids that are no classes, nothing but ignored."""

from __future__ import annotations

import logging
from typing import Any

import torch
from detectron2.config import CfgNode

from ..config.combinations import configured_detector
from .checked_mapper import Mapper

logger = logging.getLogger(__name__)


class LabelIdMapper:
    """Runs a mapper and refuses samples whose "sem_seg" has ids outside the class list.

    In training such an id ends in an index error without a name, on a GPU in a dead process.

    Args:
        mapper: for example detectron2's ``DatasetMapper``.
        classes: number of classes; ids are 0 to ``classes - 1``.
        ignore: id of pixels that have no class.
    """

    def __init__(self, mapper: Mapper, classes: int, ignore: int) -> None:
        self._mapper, self._classes, self._ignore = mapper, classes, ignore

    def __call__(self, record: dict[str, Any]) -> Any:
        """Return the mapped record.

        Raises:
            ValueError: a label id is neither a class nor the ignored one; names file and id.
        """
        sample = self._mapper(record)
        if sample is None or "sem_seg" not in sample:
            return sample
        name = record.get("sem_seg_file_name", record.get("file_name"))
        refuse_strange_ids(sample["sem_seg"], self._classes, self._ignore, name)
        return sample


def refuse_strange_ids(labels: torch.Tensor, classes: int, ignore: int, name: Any) -> None:
    """Raise ValueError, naming the file and the id, if a label is no class and not ignored."""
    strange = (labels != ignore) & ((labels < 0) | (labels >= classes))
    if strange.any():
        raise ValueError(
            f"{name}: label {int(labels[strange][0])} is neither one of the {classes} classes (0 "
            f"to {classes - 1}) nor the ignored label {ignore}. Correct the file, "
            "MODEL.SEM_SEG_HEAD.NUM_CLASSES or MODEL.SEM_SEG_HEAD.IGNORE_VALUE."
        )


class SkipUnlabelled:
    """Runs a mapper and rejects samples all of whose pixels are ignored; the loader draws others.

    A crop may lie on unlabelled ground; of a batch of such crops the mean loss is 0 / 0.

    Args:
        mapper: of samples with or without "sem_seg".
        ignore: id of pixels that have no class.
    """

    def __init__(self, mapper: Mapper, ignore: int) -> None:
        self._mapper, self._ignore = mapper, ignore

    def __call__(self, record: dict[str, Any]) -> Any:
        """Return the mapped record, or None, with a warning that names the file."""
        sample = self._mapper(record)
        if sample is None or "sem_seg" not in sample or (sample["sem_seg"] != self._ignore).any():
            return sample
        logger.warning(
            "%s: no pixel of the sample has a class (MODEL.SEM_SEG_HEAD.IGNORE_VALUE %d); another "
            "is taken in its place",
            record.get("sem_seg_file_name"),
            self._ignore,
        )
        return None


def check_label_ids(cfg: CfgNode, mapper: Mapper) -> Mapper:
    """Return a mapper that checks labels if the configured model is a segmentor.

    Other models carry labels along unread. What has no label at all is skipped, except for
    PanopticFPN, which has instances to learn from.
    """
    name = configured_detector(cfg)
    if name not in ("SemanticSegmentor", "PanopticFPN"):
        return mapper
    head = cfg.MODEL.SEM_SEG_HEAD
    checked = LabelIdMapper(mapper, head.NUM_CLASSES, head.IGNORE_VALUE)
    return checked if name == "PanopticFPN" else SkipUnlabelled(checked, head.IGNORE_VALUE)
