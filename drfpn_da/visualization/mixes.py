"""Mix strips: what was mixed, how, and what is learnt from it."""

from __future__ import annotations

from typing import Optional

import numpy as np
from detectron2.data import Metadata
from detectron2.utils import colormap

from .depth import color_disparity
from .layout import side_by_side


def draw_mix(
    pictures: tuple[np.ndarray, np.ndarray],
    mask: np.ndarray,
    mixed: np.ndarray,
    labels: np.ndarray,
    confidence: np.ndarray,
    metadata: Metadata,
    disparities: Optional[tuple[np.ndarray, np.ndarray]] = None,
) -> np.ndarray:
    """Put a pair, its disparities, the mask, the mix, its labels and their confidence in a row.

    Args:
        pictures: two (H, W, 3) uint8 RGB.
        mask: (H, W) bool, white where the first picture is shown.
        mixed: (H, W, 3) uint8 RGB.
        labels: (H, W) class ids; what is no class is black.
        confidence: (H, W) in [0, 1], white for 1.
        metadata: with "stuff_colors", or else detectron2's palette is used.
        disparities: two (H, W).

    Returns:
        (H', W', 3) uint8 RGB.
    """
    cells = [*pictures]
    titles = ["first", "second"]
    if disparities is not None:
        cells += [color_disparity(disparity) for disparity in disparities]
        titles += ["disparity", "disparity"]
    cells += [_grey(mask), mixed, color_labels(labels, metadata), _grey(confidence)]
    return side_by_side(cells, [*titles, "mask", "mix", "label", "confidence"])


def color_labels(labels: np.ndarray, metadata: Metadata) -> np.ndarray:
    """Return (H, W, 3) uint8 RGB of (H, W) class ids; what is no class is black."""
    colors = metadata.get("stuff_colors")
    palette = np.asarray(colors or colormap.colormap(rgb=True), dtype=np.uint8)
    known = (labels >= 0) & (labels < len(palette))
    drawn: np.ndarray = palette[np.where(known, labels, 0)]
    drawn[~known] = 0
    return drawn


def _grey(values: np.ndarray) -> np.ndarray:
    shades = (np.clip(values.astype(np.float64), 0, 1) * 255).round().astype(np.uint8)
    return np.repeat(shades[..., None], 3, axis=-1)
