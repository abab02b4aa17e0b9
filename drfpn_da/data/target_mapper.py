"""Target pictures reach augmentation and model without anything that could be a label."""

from __future__ import annotations

from typing import Any

from .checked_mapper import Mapper

#: Fields of a record that are handed on; everything else might be made from labels.
KEPT = ("file_name", "height", "width", "image_id")


class TargetMapper:
    """Strips a record to its picture, maps it, and marks the sample as target.

    Args:
        mapper: training mapper, for example detectron2's ``DatasetMapper``.
    """

    def __init__(self, mapper: Mapper) -> None:
        self._mapper = mapper

    def __call__(self, record: dict[str, Any]) -> dict[str, Any]:
        """Return the sample: ``image``, the kept fields, and ``"domain": "target"``."""
        sample = self._mapper({key: record[key] for key in KEPT if key in record})
        sample["domain"] = "target"
        return sample
