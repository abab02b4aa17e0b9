"""Draws textured planar quads with exact depth and visibility.

A plane's inverse depth is an affine function of the pixel, and its texture coordinates are a
homography of it. So every quad costs one ``warpPerspective`` over its bounding box, and depth,
masks and label maps follow from the same numbers as the picture.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from .camera import NEAR, Camera

# Relative slack of the depth test: faces of one object share edges.
DEPTH_SLACK = 1e-4


@dataclass
class Quad:
    """A textured parallelogram in the world.

    Attributes:
        texture: (h, w, 4) uint8 RGBA with premultiplied colour.
        origin: (3,) world position of the texture's top left corner.
        right: (3,) vector along the texture's columns, over its whole width.
        down: (3,) vector along its rows, over its whole height.
        semantic: class id; -1 changes colour only (shadows).
        instance: object id, 0 for stuff.
        one_sided: invisible from behind.
        at_infinity: a backdrop that only the camera's rotation moves.
    """

    texture: np.ndarray
    origin: np.ndarray
    right: np.ndarray
    down: np.ndarray
    semantic: int
    instance: int = 0
    one_sided: bool = False
    at_infinity: bool = False


@dataclass
class Frame:
    """A rendered frame: colour (H, W, 3) float32 RGB 0-255 and maps of (H, W).

    Attributes:
        color: picture.
        inverse_depth: 1 / z in 1/m, 0 for the sky.
        semantic: class ids, uint8.
        instance: object ids, int32, 0 for stuff.
        drawn_area: object id -> pixels inside the picture before anything occluded it.
    """

    color: np.ndarray
    inverse_depth: np.ndarray
    semantic: np.ndarray
    instance: np.ndarray
    drawn_area: dict[int, int] = field(default_factory=dict)

    @classmethod
    def empty(cls, height: int, width: int, semantic: int) -> Frame:
        """Return a black frame at infinite depth, all of one class."""
        return cls(
            np.zeros((height, width, 3), np.float32),
            np.zeros((height, width), np.float32),
            np.full((height, width), semantic, np.uint8),
            np.zeros((height, width), np.int32),
        )


def draw_quad(frame: Frame, camera: Camera, quad: Quad, shift: np.ndarray | None = None) -> None:
    """Draw one quad where it is nearer than what is already there.

    Quads should come roughly from far to near, so that soft edges blend with what lies behind.

    Args:
        frame: changed in place.
        camera: the view.
        quad: what to draw.
        shift: (3,) displacement of the quad, metres.
    """
    position = np.zeros(3) if quad.at_infinity else camera.position
    origin = quad.origin - position if shift is None else quad.origin + shift - position
    normal = _cross(quad.right, quad.down)
    facing = float(normal @ origin)
    if abs(facing) < 1e-9 or (quad.one_sided and facing < 0):
        return
    to_pixels = camera.intrinsics @ camera.rotation
    corners = origin + np.array([np.zeros(3), quad.right, quad.right + quad.down, quad.down])
    box = _bounding_box(corners @ to_pixels.T, camera)
    if box is None:
        return
    x0, y0, x1, y1 = box
    rows, cols = quad.texture.shape[:2]
    texture_to_pixel = to_pixels @ np.stack([quad.right / cols, quad.down / rows, origin], axis=1)
    if abs(np.linalg.det(texture_to_pixel)) < 1e-12:
        return
    # Texel centres are at half-integers of the quad, pixel (0, 0) of the box at (x0, y0).
    # OpenCV inverts it at once, numpy wakes the threads of its linear algebra for each quad.
    to_texture = cv2.invert(texture_to_pixel)[1] @ np.array([[1, 0, x0], [0, 1, y0], [0, 0, 1.0]])
    to_texture[:2] -= 0.5 * to_texture[2]
    warped = cv2.warpPerspective(
        quad.texture,
        to_texture,
        (x1 - x0, y1 - y0),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=0,
    )
    if quad.at_infinity:
        inverse_depth = np.zeros((y1 - y0, x1 - x0), np.float32)
    else:
        gradient = camera.inverse_intrinsics.T @ camera.rotation @ normal / facing
        inverse_depth = _affine(gradient, x0, y0, x1, y1)
    _composite(frame, (slice(y0, y1), slice(x0, x1)), warped, inverse_depth, quad)


def _composite(
    frame: Frame,
    where: tuple[slice, slice],
    warped: np.ndarray,
    inverse_depth: np.ndarray,
    quad: Quad,
) -> None:
    behind = frame.inverse_depth[where]
    alpha = warped[..., 3]
    in_front = inverse_depth < 1 / NEAR
    if not quad.at_infinity:
        in_front &= inverse_depth > 0
    solid = (alpha > 127) & in_front
    if quad.instance:
        frame.drawn_area[quad.instance] = frame.drawn_area.get(quad.instance, 0) + int(
            np.count_nonzero(solid)
        )
    in_front &= inverse_depth >= behind * (1 - DEPTH_SLACK)
    blend = np.where(in_front, alpha, 0).astype(np.float32)[..., None] * np.float32(1 / 255)
    color = frame.color[where]
    color *= 1 - blend
    color += np.where(in_front[..., None], warped[..., :3], 0)
    if quad.semantic < 0:
        return
    solid &= in_front
    frame.semantic[where][solid] = quad.semantic
    frame.instance[where][solid] = quad.instance
    behind[solid] = inverse_depth[solid]


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Like ``np.cross`` for two vectors, without its overhead."""
    (ax, ay, az), (bx, by, bz) = a.tolist(), b.tolist()
    return np.array([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx])


def _affine(gradient: np.ndarray, x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
    u = np.arange(x0, x1, dtype=np.float64) * gradient[0] + gradient[2]
    v = np.arange(y0, y1, dtype=np.float64) * gradient[1]
    return (v[:, None] + u[None, :]).astype(np.float32)


def _bounding_box(points: np.ndarray, camera: Camera) -> tuple[int, int, int, int] | None:
    """Pixel box (x0, y0, x1, y1) of homogeneous corners (4, 3), clipped at the near plane."""
    depth = points[:, 2]
    if (depth < NEAR).all():
        return None
    if (depth < NEAR).any():
        points = _clip_near(points)
    pixels = points[:, :2] / points[:, 2:]
    x0, y0 = np.floor(pixels.min(axis=0)).astype(int)
    x1, y1 = np.ceil(pixels.max(axis=0)).astype(int) + 1
    x0, y0, x1, y1 = max(x0, 0), max(y0, 0), min(x1, camera.width), min(y1, camera.height)
    return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


def _clip_near(points: np.ndarray) -> np.ndarray:
    """Sutherland-Hodgman against the near plane; coordinates are homogeneous pixels."""
    kept = []
    for a, b in zip(points, np.roll(points, -1, axis=0)):
        if a[2] >= NEAR:
            kept.append(a)
        if (a[2] >= NEAR) != (b[2] >= NEAR):
            kept.append(a + (b - a) * ((NEAR - a[2]) / (b[2] - a[2])))
    return np.array(kept)
