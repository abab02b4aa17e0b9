"""Mappers whose transforms others follow: with disparity, with neighbouring frames."""

from __future__ import annotations

import copy
from typing import Any

from detectron2.data import transforms as T


class RecordedAugmentations(T.AugmentationList):
    """Augmentations that remember what they did last.

    Attributes:
        size: (height, width) of the last picture before.
        transforms: done to it.
    """

    def __call__(self, aug_input: T.AugInput) -> T.TransformList:
        """Transform, and remember."""
        self.size: tuple[int, int] = aug_input.image.shape[:2]
        self.transforms: T.TransformList = super().__call__(aug_input)
        return self.transforms


def record_transforms(mapper: Any, what: str) -> tuple[Any, RecordedAugmentations]:
    """Return a copy of a mapper that remembers its transforms, and its augmentations.

    Args:
        mapper: with detectron2's ``augmentations``, as ``DatasetMapper``; returned as it is if it
            remembers them already.
        what: shall follow them, for messages.

    Raises:
        ValueError: the mapper has no augmentations to follow.
    """
    augmentations = getattr(mapper, "augmentations", None)
    if isinstance(augmentations, RecordedAugmentations):
        return mapper, augmentations
    if not isinstance(augmentations, T.AugmentationList):
        raise ValueError(
            f"{what} cannot follow the transforms of {type(mapper).__name__}: it has no "
            "AugmentationList named augmentations, as detectron2's DatasetMapper has"
        )
    mapper = copy.copy(mapper)
    mapper.augmentations = RecordedAugmentations(augmentations.augs)
    return mapper, mapper.augmentations
