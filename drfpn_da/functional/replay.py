"""A map of a whole picture, seen as a resized, flipped or cropped sample of it is."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

#: Field of a sample with the matrix of :func:`replay_map`.
VIEW_TO_PICTURE = "view_to_picture"


def replay_map(values: Tensor, view_to_picture: Tensor, size: tuple[int, int]) -> Tensor:
    """Return what a map shows at each pixel of a sample, bilinearly.

    Convex combinations only: rows over channels that sum to 1 still do.

    Args:
        values: (C, h, w), of the whole picture in any resolution.
        view_to_picture: (2, 3), from the sample's coordinates to the picture's, both from -1 to 1
            between outer edges.
        size: (height, width) of the sample.

    Returns:
        (C, height, width) of the type of ``values``; beyond the picture its border.
    """
    theta = view_to_picture.to(values)[None]
    grid = F.affine_grid(theta, [1, 1, *size], align_corners=False)
    seen = F.grid_sample(values[None], grid, padding_mode="border", align_corners=False)
    return seen[0]
