"""Camera intrinsics that follow their picture: checked against its size, moved with it."""

from __future__ import annotations

from typing import Any

import numpy as np
from detectron2.data import transforms as T


def check_intrinsics(intrinsics: Any, size: tuple[int, int], file_name: str) -> np.ndarray:
    """Return the (3, 3) intrinsics K of a picture if they can belong to it.

    Args:
        intrinsics: nested list or array; pixel (0, 0) is the centre of the top left one.
        size: height and width of the picture.
        file_name: of the picture, for messages.

    Raises:
        ValueError: no such matrix, or one of a picture of another size: its principal point is far
            from the middle, or its field of view impossible.
    """
    matrix = np.asarray(intrinsics, dtype=np.float64)
    if matrix.shape != (3, 3) or not np.isfinite(matrix).all() or matrix[2].tolist() != [0, 0, 1]:
        raise ValueError(
            f"{file_name}: intrinsics {np.asarray(intrinsics).tolist()} are no matrix "
            "[[fx, 0, cx], [0, fy, cy], [0, 0, 1]]"
        )
    height, width = size
    x, y = matrix[0, 2] / width, matrix[1, 2] / height
    lengths = matrix[0, 0] / width, matrix[1, 1] / height
    if not (0.3 < x < 0.7 and 0.2 < y < 0.8 and all(0.2 < f < 10 for f in lengths)):
        raise ValueError(
            f"{file_name}: intrinsics with focal lengths {matrix[0, 0]:.1f} and {matrix[1, 1]:.1f} "
            f"and principal point ({matrix[0, 2]:.1f}, {matrix[1, 2]:.1f}) do not fit a picture of "
            f"{width}x{height}. They belong to the size of the stored file: multiply their first "
            "row by the ratio of widths, the second by that of heights"
        )
    return matrix


def transform_intrinsics(intrinsics: np.ndarray, transforms: T.Transform) -> np.ndarray:
    """Return the intrinsics of the transformed picture.

    Resizing, cropping, flipping and rotation are affine in pixels: ``K' = A K``. A flipped picture
    is that of a mirrored world, seen by an ordinary camera: focal lengths stay positive.

    Args:
        intrinsics: (3, 3) of the picture before; pixel (0, 0) is the centre of the top left one.
        transforms: those applied to the picture; only geometry counts.

    Raises:
        ValueError: the transforms are not affine.
    """
    # detectron2 moves continuous coordinates, in which that centre is (0.5, 0.5).
    corners = np.array([[0.5, 0.5], [1.5, 0.5], [0.5, 1.5], [64.5, 32.5]])
    origin, right, down, far = transforms.apply_coords(corners.copy()) - 0.5
    affine = np.eye(3)
    affine[:2] = np.stack([right - origin, down - origin, origin], axis=1)
    if not np.allclose(affine[:2] @ [64, 32, 1], far, atol=1e-3):
        raise ValueError(
            f"{transforms} is not affine: intrinsics cannot follow it; use resizing, cropping, "
            "flips and rotation"
        )
    matrix: np.ndarray = affine @ intrinsics
    if np.linalg.det(affine) < 0:
        axis = 0 if matrix[0, 0] < 0 else 1
        matrix[:, axis] *= -1
    return matrix
