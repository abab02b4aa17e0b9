"""Pinhole geometry of self-supervised depth (Zhou et al. 2017; monodepth2, arXiv 1806.01260)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# Keeps divisions by a length or a depth finite; the published value.
EPSILON = 1e-7


def disparity_to_depth(
    disparity: Tensor, min_depth: float = 0.1, max_depth: float = 100.0
) -> Tensor:
    """Turn a sigmoid disparity in [0, 1] into depth: 1/depth is linear in it.

    Args:
        disparity: any shape; 0 is ``max_depth``, 1 is ``min_depth``.
        min_depth: nearest depth, above 0.
        max_depth: farthest depth.

    Returns:
        Depth in the unit of the limits, same shape.
    """
    far, near = 1 / max_depth, 1 / min_depth
    return 1 / (far + (near - far) * disparity)


def pose_matrix(axis_angle: Tensor, translation: Tensor, invert: bool = False) -> Tensor:
    """Build rigid transforms from rotation vectors (Rodrigues) and translations.

    Args:
        axis_angle: (N, 3), direction = axis, length = angle in rad.
        translation: (N, 3).
        invert: return the inverse transforms.

    Returns:
        (N, 4, 4): first rotates, then translates.
    """
    angle = axis_angle.norm(dim=1, keepdim=True)
    x, y, z = (axis_angle / (angle + EPSILON)).unbind(1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=1).view(-1, 3, 3)
    axis = torch.stack([x, y, z], dim=1)
    outer = axis[:, :, None] * axis[:, None, :]
    cosine, sine = angle.cos()[:, :, None], angle.sin()[:, :, None]
    eye = torch.eye(3, dtype=axis.dtype, device=axis.device)
    rotation = cosine * eye + (1 - cosine) * outer + sine * cross
    offset = translation[:, :, None]
    if invert:
        rotation = rotation.transpose(1, 2)
        offset = -rotation @ offset
    last = torch.zeros_like(rotation[:, :1])
    one = torch.ones_like(offset[:, :1])
    return torch.cat([torch.cat([rotation, offset], 2), torch.cat([last, one], 2)], 1)


def back_project(depth: Tensor, intrinsics: Tensor) -> Tensor:
    """Place every pixel in space.

    Args:
        depth: (N, 1, H, W).
        intrinsics: (N, 3, 3) of images of this size; pixel (0, 0) is the centre of the first.

    Returns:
        (N, 3, H, W) camera coordinates x right, y down, z forward, in the unit of depth.
    """
    height, width = depth.shape[-2:]
    rows = torch.arange(height, dtype=depth.dtype, device=depth.device)
    columns = torch.arange(width, dtype=depth.dtype, device=depth.device)
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    pixels = torch.stack([x, y, torch.ones_like(x)]).flatten(1)
    # Whether it worked is asked on the CPU only: the host would wait for a GPU.
    checked = intrinsics.device.type == "cpu"
    inverse = torch.linalg.inv_ex(intrinsics, check_errors=checked).inverse
    rays: Tensor = inverse @ pixels
    return rays.view(-1, 3, height, width) * depth


def project(points: Tensor, intrinsics: Tensor, pose: Tensor) -> Tensor:
    """Find where another camera sees points.

    Args:
        points: (N, 3, H, W) in the first camera's coordinates.
        intrinsics: (N, 3, 3) of the other camera.
        pose: (N, 4, 4) from the first camera's coordinates to the other's.

    Returns:
        (N, H, W, 2), x before y, -1 and 1 at the centres of the first and last pixels, as
        ``grid_sample`` takes it with ``align_corners=True``.
    """
    height, width = points.shape[-2:]
    moved = pose[:, :3, :3] @ points.flatten(2) + pose[:, :3, 3:]
    image = intrinsics @ moved
    pixels = image[:, :2] / (image[:, 2:] + EPSILON)
    # Made on the device: of the two values, numbers in a list would have to be copied there.
    last = torch.linspace(width - 1, height - 1, 2, dtype=points.dtype, device=points.device)
    grid = pixels / last[:, None] * 2 - 1
    return grid.transpose(1, 2).view(-1, height, width, 2)


def synthesize(source: Tensor, depth: Tensor, intrinsics: Tensor, pose: Tensor) -> Tensor:
    """Render the target view from a neighbouring image: inverse warping through the depth.

    Args:
        source: (N, C, H, W) neighbouring image.
        depth: (N, 1, H, W) of the target view.
        intrinsics: (N, 3, 3) of both.
        pose: (N, 4, 4) from the target camera to the neighbour's.

    Returns:
        (N, C, H, W); what lies outside ``source`` repeats its border.
    """
    grid = project(back_project(depth, intrinsics), intrinsics, pose)
    return F.grid_sample(source, grid, mode="bilinear", padding_mode="border", align_corners=True)
