"""An error that names the file when a label map has ids that are no classes."""

from __future__ import annotations

from typing import Any

import torch
from detectron2.config import CfgNode

from .checked_mapper import Mapper

#: Meta-architectures that learn ``sem_seg``; others carry the labels along unread.
_SEGMENTORS = ("SemanticSegmentor", "PanopticFPN", "DepthMixSegmentor")


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
        labels: torch.Tensor = sample["sem_seg"]
        strange = (labels != self._ignore) & ((labels < 0) | (labels >= self._classes))
        if strange.any():
            raise ValueError(
                f"{record.get('sem_seg_file_name', record.get('file_name'))}: label "
                f"{int(labels[strange][0])} is neither one of the {self._classes} classes (0 to "
                f"{self._classes - 1}) nor the ignored label {self._ignore}. Correct the file, "
                "MODEL.SEM_SEG_HEAD.NUM_CLASSES or MODEL.SEM_SEG_HEAD.IGNORE_VALUE."
            )
        return sample


def check_label_ids(cfg: CfgNode, mapper: Mapper) -> Mapper:
    """Return a mapper that checks label ids if the configured model is a segmentor."""
    name = cfg.MODEL.META_ARCHITECTURE
    if name == "AdaptiveModel":
        name = cfg.MODEL.ADAPT.DETECTOR
    if name not in _SEGMENTORS:
        return mapper
    head = cfg.MODEL.SEM_SEG_HEAD
    return LabelIdMapper(mapper, head.NUM_CLASSES, head.IGNORE_VALUE)
