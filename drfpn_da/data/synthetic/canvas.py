"""A small drawing surface in metres that becomes the texture of a quad."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Union

import cv2
import numpy as np

Color = Union[Sequence[float], np.ndarray]
Points = Union[Sequence[tuple[float, float]], np.ndarray]
_SHIFT = 4  # fractional bits of OpenCV's drawing functions
_ANGLES = np.linspace(0, 2 * np.pi, 20, endpoint=False)
_CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)

#: Shared by cars, clothes, signs, barriers, poles and walls: colour does not tell the class.
PALETTE = np.array(
    [
        (232, 232, 228),
        (178, 182, 186),
        (112, 116, 120),
        (44, 46, 52),
        (186, 34, 38),
        (118, 30, 36),
        (36, 84, 170),
        (28, 42, 88),
        (40, 116, 66),
        (226, 186, 40),
        (214, 112, 36),
        (120, 84, 56),
        (206, 186, 150),
        (44, 132, 140),
        (122, 92, 138),
    ],
    dtype=np.float64,
)


def pick_color(rng: np.random.Generator, muted: float = 0.0) -> np.ndarray:
    """Draw a colour of the shared palette with jitter; see :func:`pick_colors`."""
    return pick_colors(rng, 1, muted)[0]


def pick_colors(rng: np.random.Generator, count: int, muted: float = 0.0) -> np.ndarray:
    """Draw colours of the shared palette with jitter.

    Args:
        rng: source of randomness.
        count: number of colours.
        muted: 0 keeps the colours, 1 makes them grey-beige.

    Returns:
        (count, 3) RGB 0-255.
    """
    colors = PALETTE[rng.integers(len(PALETTE), size=count)] * rng.uniform(0.8, 1.15, (count, 1))
    colors = colors + rng.normal(0, 6, (count, 3))
    if muted:
        grey = colors @ np.full((3, 1), 1 / 6) + np.array([92, 86, 78])
        colors = colors * (1 - muted) + grey * muted
    return np.minimum(np.maximum(colors, 8), 250)


class Canvas:
    """An RGBA texture drawn in metres, x to the right and y upwards from the bottom left."""

    def __init__(self, width: float, height: float, scale: float):
        """Make a transparent canvas.

        Args:
            width: metres.
            height: metres.
            scale: texels per metre.
        """
        self.size = (width, height)
        cols, rows = (min(max(round(m * scale), 2), 320) for m in (width, height))
        # Metres to fixed-point texels; a texel's centre is half a texel inside it.
        self._factor = np.array([cols / width, -rows / height]) * 2**_SHIFT
        self._offset = np.array([-0.5, rows - 0.5]) * 2**_SHIFT
        self.pixels = np.zeros((rows, cols, 4), np.uint8)

    def polygon(self, points: Points, color: Color) -> None:
        """Fill a polygon."""
        cv2.fillPoly(self.pixels, [self._fixed(points)], self._scalar(color), shift=_SHIFT)

    def rectangle(self, x0: float, y0: float, x1: float, y1: float, color: Color) -> None:
        """Fill an axis-aligned rectangle."""
        self.polygon([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], color)

    def ellipse(self, x: float, y: float, rx: float, ry: float, color: Color) -> None:
        """Fill an ellipse."""
        self.polygon(_CIRCLE * (rx, ry) + (x, y), color)

    def limb(
        self, start: tuple[float, float], end: tuple[float, float], width: float, color: Color
    ) -> None:
        """Fill a thick line."""
        a, b = np.array(start), np.array(end)
        side = np.array([a[1] - b[1], b[0] - a[0]])
        side *= width / 2 / max(float(np.hypot(*side)), 1e-6)
        self.polygon(np.stack([a - side, a + side, b + side, b - side]), color)

    def texture(self, rng: np.random.Generator, grain: float = 0.06) -> np.ndarray:
        """Return the RGBA texture with grain and light from above, so that no area is flat."""
        rows, cols = self.pixels.shape[:2]
        coarse = rng.standard_normal((rows // 4 + 1, cols // 4 + 1), dtype=np.float32)
        light = cv2.resize(coarse * grain, (cols, rows))
        light += 1.06 - np.arange(rows, dtype=np.float32)[:, None] * np.float32(0.16 / rows)
        # Colour is premultiplied: it must not exceed alpha, or soft edges would glow.
        rgb = np.minimum(self.pixels[..., :3] * light[..., None], self.pixels[..., 3:])
        self.pixels[..., :3] = rgb
        return self.pixels

    def _fixed(self, points: Points) -> np.ndarray:
        return np.rint(np.asarray(points) * self._factor + self._offset).astype(np.int32)

    @staticmethod
    def _scalar(color: Color) -> tuple[float, float, float, float]:
        r, g, b = (min(max(float(c), 1.0), 254.0) for c in color)
        return (r, g, b, 255.0)
