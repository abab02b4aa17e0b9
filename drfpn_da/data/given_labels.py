"""Labels of target pictures that are labelled in ``DATASETS.TRAIN``, to be mixed as they are."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import detection_utils

from ..functional.mixing import GIVEN_LABELS
from .checked_mapper import Mapper
from .recorded import record_transforms
from .sem_seg_labels import refuse_strange_ids

#: Field of a target record with the label file of a picture that the training may know.
GIVEN_FILE = "given_label_file_name"


def gives_labels(cfg: CfgNode) -> bool:
    """Return whether labelled pictures among the target are mixed with their own labels."""
    mixes = (
        cfg.MODEL.META_ARCHITECTURE == "DepthMixSegmentor"
        or "DepthMix" in cfg.MODEL.ADAPT.OBJECTIVES
    )
    return bool(cfg.MODEL.DEPTH_MIX.USE_LABELS) and mixes


def give_labels(
    records: Sequence[dict[str, Any]], labelled: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return target records, those of labelled pictures with their label file.

    Args:
        records: of the target; of the labels that they name, none is read.
        labelled: records that are trained on with labels; the same file is the same picture.

    Raises:
        ValueError: records cannot be told apart before they are read, or no target picture is
            labelled.
    """
    if not isinstance(records, list):
        raise ValueError(
            "MODEL.DEPTH_MIX.USE_LABELS is True, but a data set of DATASETS.TARGET is a data set "
            "of torch, whose pictures are not known beforehand: register a list, or write False"
        )
    files = {
        os.path.realpath(r["file_name"]): r["sem_seg_file_name"]
        for r in labelled
        if "sem_seg_file_name" in r
    }
    given = [
        {**r, GIVEN_FILE: files[os.path.realpath(r["file_name"])]}
        if os.path.realpath(r["file_name"]) in files
        else r
        for r in records
    ]
    if not any(GIVEN_FILE in r for r in given):
        raise ValueError(
            "MODEL.DEPTH_MIX.USE_LABELS is True, but no picture of DATASETS.TARGET is one of the "
            f"{len(labelled)} labelled ones of DATASETS.TRAIN: name their data set in "
            "DATASETS.TARGET too, or write False"
        )
    return given


class GivenLabelMapper:
    """Adds "given_labels" to the samples of records that have a label file (:data:`GIVEN_FILE`).

    They follow the transforms of the picture, as labels of ``DatasetMapper`` do.

    Args:
        mapper: with detectron2's ``augmentations``, as ``DatasetMapper``; it is copied.
        classes: number of classes; ids are 0 to ``classes - 1``.
        ignore: id of pixels that have no class.

    Raises:
        ValueError: the mapper has no augmentations to follow.
    """

    def __init__(self, mapper: Any, classes: int, ignore: int = 255) -> None:
        self._mapper: Mapper
        self._mapper, self.augmentations = record_transforms(mapper, "given labels")
        self._classes, self._ignore = classes, ignore

    def __call__(self, record: dict[str, Any]) -> dict[str, Any] | None:
        """Return the sample, with "given_labels", (H, W) int64 of the size of "image".

        Raises:
            ValueError: labels of another size, or ids outside the class list; names the file.
        """
        sample: dict[str, Any] | None = self._mapper(record)
        if sample is None or GIVEN_FILE not in record:
            return sample
        labels = detection_utils.read_image(record[GIVEN_FILE], "L").squeeze(2)
        size = self.augmentations.size
        if labels.shape != size:
            raise ValueError(
                f"{record[GIVEN_FILE]} has {labels.shape[1]}x{labels.shape[0]} pixels, but its "
                f"picture {record['file_name']} has {size[1]}x{size[0]}: correct the file"
            )
        moved = self.augmentations.transforms.apply_segmentation(labels)
        sample[GIVEN_LABELS] = torch.from_numpy(np.ascontiguousarray(moved)).long()
        refuse_strange_ids(sample[GIVEN_LABELS], self._classes, self._ignore, record[GIVEN_FILE])
        return sample
