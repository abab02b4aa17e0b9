"""Target pictures reach augmentation and model without anything that could be a label."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from typing import Any

from detectron2.data import transforms as T

from .checked_mapper import Mapper

#: Fields of a record that are handed on; everything else might be made from labels.
KEPT = ("file_name", "height", "width", "image_id")
#: Names of labels in records and samples; they cannot be kept, and no mapper may add them.
LABELS = (
    "annotations",
    "class_id",
    "instances",
    "sem_seg",
    "sem_seg_file_name",
    "pan_seg_file_name",
    "segments_info",
    "proposals",
    "proposal_boxes",
    "proposal_objectness_logits",
)


def picture_only(record: dict[str, Any], keep: Sequence[str] = ()) -> dict[str, Any]:
    """Return a record with the fields of ``KEPT`` and those of ``keep`` alone."""
    return {key: record[key] for key in (*KEPT, *keep) if key in record}


class TargetMapper:
    """Strips a record to its picture, maps it, and marks the sample as target.

    Args:
        mapper: training mapper, for example detectron2's ``DatasetMapper``.
        keep: further fields for the mapper that are no labels, such as a disparity's file name.

    Raises:
        ValueError: ``keep`` names a label, or an augmentation of the mapper needs labels.
    """

    def __init__(self, mapper: Mapper, keep: Sequence[str] = ()) -> None:
        labels = [key for key in keep if key in LABELS]
        if labels:
            raise ValueError(f"target pictures are used without labels, so {labels} cannot be kept")
        augmentations = getattr(mapper, "augmentations", ())
        _refuse_augmentations_by_labels(getattr(augmentations, "augs", augmentations))
        self._mapper = mapper
        self._keep = tuple(keep)

    def __call__(self, record: dict[str, Any]) -> dict[str, Any] | None:
        """Return the sample: ``image``, the kept fields, and ``"domain": "target"``.

        None where the mapper rejects the record.

        Raises:
            ValueError: the mapper got labels from elsewhere.
        """
        picture = picture_only(record, self._keep)
        try:
            sample: dict[str, Any] | None = self._mapper(picture)
        except Exception as error:
            self._explain(error)
            raise
        if sample is None:
            return None
        labels = [key for key in LABELS if key in sample]
        if labels:
            raise ValueError(
                f"the mapper of target pictures returned {labels}; labels of the target must not "
                "enter training: give the target a mapper that reads none"
            )
        sample["domain"] = "target"
        return sample

    def _explain(self, error: Exception) -> None:
        """Raise ValueError if a mapper failed for want of a label."""
        text = str(error)  # that of a KeyError is the key in quotes
        names = [name for name in LABELS if f"'{name}'" in text or f'"{name}"' in text]
        if names:
            raise ValueError(
                f"the mapper of target pictures, {_name_of(self._mapper)}, reads '{names[0]}' "
                f"({type(error).__name__}: {error}), but target pictures come without labels: give "
                "them a mapper that reads the picture alone "
                "(drfpn_da.add_target(loader, cfg, target_mapper=...); default: detectron2's "
                "DatasetMapper)"
            ) from error


def _name_of(mapper: Any) -> str:
    """Return the name of the innermost mapper, in those that wrap it."""
    while hasattr(mapper, "_mapper"):
        mapper = mapper._mapper
    return getattr(mapper, "__name__", type(mapper).__name__)


def _refuse_augmentations_by_labels(augmentations: Iterable[Any]) -> None:
    for augmentation in augmentations:
        if not isinstance(augmentation, T.Augmentation):
            continue
        # As detectron2 reads it: one argument is the picture, several go by their names.
        names = list(inspect.signature(augmentation.get_transform).parameters)
        needed = sorted(set(names) & {"boxes", "sem_seg"})
        if len(names) > 1 and needed:
            raise ValueError(
                f"augmentation {type(augmentation).__name__} needs {', '.join(needed)}, which "
                "target pictures do not have: give the target a mapper without it"
            )
