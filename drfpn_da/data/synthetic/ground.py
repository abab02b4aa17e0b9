"""The ground plane: road, markings, pavement and grass, filtered over each pixel's footprint."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .camera import Camera
from .classes import PAVEMENT, ROAD, VEGETATION
from .render import Frame

MARK_WIDTH = 0.16
DASH_LENGTH, DASH_PERIOD = 3.0, 8.0
KERB_WIDTH = 0.22
TILE_METRES = 8.0
# Nothing on the ground is drawn beyond this distance, where a pixel spans many metres.
FAR = 2000.0


@dataclass(frozen=True)
class Ground:
    """Cross-section and colours of the street; x = 0 is the road's centre line.

    Attributes:
        lanes: lane borders, metres, from the left to the right road edge.
        pavement: width of each pavement, metres.
        colors: (4, 3) RGB of road, pavement, grass and paint.
        tile: (n, n) float32 noise around 0, repeated every ``TILE_METRES``.
        crossing: z of a zebra crossing's near edge, or None.
        patches: (P, 5) darker or lighter road repairs: x0, z0, x1, z1, factor.
    """

    lanes: np.ndarray
    pavement: float
    colors: np.ndarray
    tile: np.ndarray
    crossing: float | None
    patches: np.ndarray

    @property
    def half_width(self) -> float:
        """Half of the road's width, metres."""
        return float(self.lanes[-1])


def draw_ground(frame: Frame, camera: Camera, ground: Ground) -> None:
    """Draw everything below the horizon into an empty frame."""
    rays_to_world = camera.rotation.T @ camera.inverse_intrinsics
    u = np.arange(camera.width)[None, :]
    v = np.arange(camera.height)[:, None]
    direction = [row[0] * u + row[1] * v + row[2] for row in rays_to_world]
    # Rays have camera depth 1, so the ground's inverse depth is (ray down) / (camera height).
    height = -camera.position[1]
    inverse = direction[1] / height
    top = _first_ground_row(inverse)
    if top == camera.height:
        return
    inverse = np.maximum(inverse[top:], 1 / FAR)
    x = camera.position[0] + direction[0][top:] / inverse
    z = camera.position[2] + direction[2][top:] / inverse
    across = 1 / (inverse * camera.focal)
    along = across / np.maximum(inverse * height, 1e-6)
    footprint = np.stack([across, along]).astype(np.float32)
    color, semantic = _shade(ground, x.astype(np.float32), z.astype(np.float32), footprint)
    frame.color[top:] = color
    frame.semantic[top:] = semantic
    frame.inverse_depth[top:] = inverse


def _first_ground_row(inverse: np.ndarray) -> int:
    """Return the first row whose pixels all lie on the ground within ``FAR``."""
    hit = (inverse > 1 / FAR).all(axis=1)
    return int(np.argmax(hit)) if hit.any() else len(hit)


def _shade(
    ground: Ground, x: np.ndarray, z: np.ndarray, footprint: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    across, along = footprint
    road, pavement, grass, paint = ground.colors.astype(np.float32)
    half = ground.half_width
    outer = half + ground.pavement
    on_road = _box(x, -half, half, across)[..., None]
    on_street = _box(x, -outer, outer, across)[..., None]
    asphalt = road * _patch_factor(ground, x, z)[..., None]
    slabs = pavement * (1 - 0.13 * _stripes(z, 0.06, 1.2, along))[..., None]
    color = asphalt * on_road + slabs * (on_street - on_road) + grass * (1 - on_street)
    kerb = _box(np.abs(x), half, half + KERB_WIDTH, across)[..., None]
    color += (pavement * 0.72 - color) * kerb
    color += (paint - color) * (0.9 * _markings(ground, x, z, across, along))[..., None]
    color *= 1 + _noise(ground.tile, x, z, across, along)[..., None]
    semantic = np.full(x.shape, VEGETATION, np.uint8)
    semantic[np.abs(x) < outer] = PAVEMENT
    semantic[np.abs(x) < half] = ROAD
    return color, semantic


def _markings(
    ground: Ground, x: np.ndarray, z: np.ndarray, across: np.ndarray, along: np.ndarray
) -> np.ndarray:
    """Coverage of paint: edge lines, dashed lane lines and a zebra crossing."""
    w = MARK_WIDTH / 2
    cover = np.zeros_like(x)
    dashes = _stripes(z, DASH_LENGTH, DASH_PERIOD, along)
    for lane in ground.lanes[1:-1].tolist():
        cover += _box(x, lane - w, lane + w, across) * dashes
    edge = ground.half_width - 0.35
    cover += _box(np.abs(x), edge - w, edge + w, across)
    if ground.crossing is not None:
        inside = _box(z, ground.crossing, ground.crossing + 3.0, along)
        bars = _stripes(x, 0.5, 1.0, across) * _box(x, -edge, edge, across)
        cover = cover * (1 - inside) + bars * inside
    return np.minimum(cover, 1)


def _patch_factor(ground: Ground, x: np.ndarray, z: np.ndarray) -> np.ndarray:
    factor = np.ones_like(x)
    for x0, z0, x1, z1, gain in ground.patches:
        factor[(x > x0) & (x < x1) & (z > z0) & (z < z1)] *= gain
    return factor


def _noise(
    tile: np.ndarray, x: np.ndarray, z: np.ndarray, across: np.ndarray, along: np.ndarray
) -> np.ndarray:
    """Two octaves of a repeated tile, each faded out before its texels shrink below a pixel."""
    total = np.zeros_like(x)
    for metres in (TILE_METRES, TILE_METRES * 5):
        texel = metres / len(tile)
        fade = np.clip(2.0 - np.maximum(across, along * 0.5) / texel, 0, 1)
        scale = np.float32(len(tile) / metres)
        total += fade * _sample(tile, x * scale, z * scale)
    return total


def _sample(tile: np.ndarray, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    """Bilinear samples of a tile that repeats; coordinates stay small for the fixed-point remap."""
    n = len(tile)
    padded = np.pad(tile, ((0, 1), (0, 1)), mode="wrap")
    return cv2.remap(padded, np.mod(i, n), np.mod(j, n), cv2.INTER_LINEAR)


def _box(value: np.ndarray, low: float, high: float, width: np.ndarray) -> np.ndarray:
    """Share of the window of ``width`` around ``value`` that lies in [low, high]."""
    upper = np.minimum(value + width / 2, high)
    return np.clip((upper - np.maximum(value - width / 2, low)) / width, 0, 1)


def _stripes(value: np.ndarray, on: float, period: float, width: np.ndarray) -> np.ndarray:
    """Share of the window that lies on stripes of length ``on`` every ``period``."""

    def integral(t: np.ndarray) -> np.ndarray:
        whole = np.floor(t / period)
        return whole * on + np.minimum(t - whole * period, on)

    return (integral(value + width / 2) - integral(value - width / 2)) / width
