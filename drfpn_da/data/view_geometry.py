"""Where each pixel of a sample comes from in its picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from detectron2.data import transforms as T
from torch import Tensor

from ..functional.replay import VIEW_TO_PICTURE
from .recorded import record_transforms


class GeometryMapper:
    """Adds ``VIEW_TO_PICTURE`` to the samples of a mapper.

    A (2, 3) float32 matrix from the sample's coordinates to those of the picture before resizing,
    flip and crop, both from -1 to 1 between the outer edges: what ``torch``'s ``affine_grid`` takes
    (``align_corners=False``), so that a map of the whole picture can be seen as the sample is.

    Args:
        mapper: with detectron2's ``augmentations``, as ``DatasetMapper``; it is copied.
        what: needs the matrix, for messages.

    Raises:
        ValueError: the mapper has no augmentations to follow.
    """

    def __init__(self, mapper: Any, what: str) -> None:
        self._mapper, self.augmentations = record_transforms(mapper, what)
        self._what = what

    def __call__(self, record: dict[str, Any]) -> dict[str, Any] | None:
        """Return the sample, or None where the mapper rejects the record.

        Raises:
            ValueError: a transform that no matrix describes.
        """
        sample: dict[str, Any] | None = self._mapper(record)
        if sample is None:
            return None
        view = tuple(sample["image"].shape[-2:])
        sample[VIEW_TO_PICTURE] = view_to_picture(
            self.augmentations.transforms, self.augmentations.size, view, self._what
        )
        return sample


def view_to_picture(
    transforms: T.TransformList,
    picture: tuple[int, int],
    view: tuple[int, int],
    what: str = "a map of the picture",
) -> Tensor:
    """Return the matrix of :class:`GeometryMapper`.

    Args:
        transforms: from picture to view.
        picture: (height, width).
        view: (height, width).
        what: needs the matrix, for messages.

    Raises:
        ValueError: a transform that no matrix describes.
    """
    unit = np.array([[0, 0], [1, 0], [0, 1], [1, 1], [0.5, 0.25]])
    moved = np.asarray(transforms.apply_coords(unit * [picture[1], picture[0]]), dtype=np.float64)
    origin, x, y = moved[0], moved[1] - moved[0], moved[2] - moved[0]
    area = x[0] * y[1] - x[1] * y[0]
    others = origin + unit[3:] @ np.stack([x, y])
    if not np.allclose(moved[3:], others, atol=1e-3) or abs(area) < 1e-9:
        names = ", ".join(type(transform).__name__ for transform in transforms.transforms)
        raise ValueError(
            f"{what} cannot follow the transforms {names}: only resizing, flip, crop, rotation and "
            "what else is affine"
        )
    # From the unit square of the picture to pixels of the view.
    forward = np.array([[x[0], y[0], origin[0]], [x[1], y[1], origin[1]], [0, 0, 1]])
    from_centred = np.array(
        [[view[1] / 2, 0, view[1] / 2], [0, view[0] / 2, view[0] / 2], [0, 0, 1]]
    )
    to_centred = np.array([[2.0, 0, -1], [0, 2, -1], [0, 0, 1]])
    matrix = to_centred @ np.linalg.inv(forward) @ from_centred
    return torch.from_numpy(matrix[:2].astype(np.float32))
