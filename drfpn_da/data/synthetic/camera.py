"""A pinhole camera above the ground plane.

World and camera axes: x right, y down, z forward, in metres; the ground is y = 0. Pixel (0, 0) is
the centre of the top left pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

NEAR = 0.4


@dataclass(frozen=True)
class Camera:
    """Intrinsics and pose.

    Attributes:
        width: image width, pixels.
        height: image height, pixels.
        intrinsics: (3, 3) matrix K.
        rotation: (3, 3) world-to-camera rotation R.
        position: (3,) camera centre C in the world.
    """

    width: int
    height: int
    intrinsics: np.ndarray
    rotation: np.ndarray
    position: np.ndarray

    @property
    def focal(self) -> float:
        """Focal length in pixels (equal in x and y)."""
        return float(self.intrinsics[0, 0])

    @cached_property
    def inverse_intrinsics(self) -> np.ndarray:
        """(3, 3) inverse of K: pixels to rays of depth 1."""
        return np.linalg.inv(self.intrinsics)

    @property
    def camera_to_world(self) -> np.ndarray:
        """(4, 4) rigid transform from camera to world coordinates."""
        pose = np.eye(4)
        pose[:3, :3] = self.rotation.T
        pose[:3, 3] = self.position
        return pose

    def moved(self, forward: float, yaw: float) -> Camera:
        """Return the camera after driving ``forward`` metres and turning right by ``yaw`` rad."""
        ahead = self.rotation.T @ np.array([0.0, 0.0, 1.0])
        step = np.array([ahead[0], 0.0, ahead[2]])
        step *= forward / np.linalg.norm(step)
        turned = self.rotation @ rotation_y(yaw).T
        return Camera(self.width, self.height, self.intrinsics, turned, self.position + step)


def make_camera(
    width: int,
    height: int,
    *,
    focal: float,
    horizon: float,
    position: np.ndarray,
    yaw: float = 0.0,
    pitch: float = 0.0,
) -> Camera:
    """Build a camera.

    Args:
        width: image width, pixels.
        height: image height, pixels.
        focal: focal length, pixels.
        horizon: row of the principal point as a share of the height.
        position: (3,) centre in the world; y is minus the height above ground.
        yaw: turn to the right, rad.
        pitch: turn downwards, rad.
    """
    intrinsics = np.array(
        [[focal, 0.0, (width - 1) / 2], [0.0, focal, horizon * (height - 1)], [0.0, 0.0, 1.0]]
    )
    rotation = rotation_x(pitch) @ rotation_y(yaw).T
    return Camera(width, height, intrinsics, rotation, np.asarray(position, dtype=float))


def rotation_y(angle: float) -> np.ndarray:
    """(3, 3) rotation that turns z towards x by ``angle`` rad."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])


def rotation_x(angle: float) -> np.ndarray:
    """(3, 3) rotation that turns y towards z by ``-angle`` rad: looks down for positive angles."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])
