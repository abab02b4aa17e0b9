"""Pictures of disparity."""

from __future__ import annotations

from typing import Optional

import numpy as np

from .layout import side_by_side

# Share of the pixels below the brightest colour: a few very near ones must not darken the rest.
QUANTILE = 0.95


def color_disparity(disparity: np.ndarray) -> np.ndarray:
    """Colour disparity from dark (far) to bright (near).

    Args:
        disparity: (H, W) of any unit; what is not finite is black.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    from matplotlib import colormaps

    known = np.isfinite(disparity)
    values = np.where(known, disparity, 0).astype(np.float64)
    low = values[known].min() if known.any() else 0.0
    high = np.quantile(values[known], QUANTILE) if known.any() else 1.0
    scaled = np.clip((values - low) / max(high - low, 1e-12), 0, 1)
    colors: np.ndarray = (colormaps["magma"](scaled)[..., :3] * 255).round().astype(np.uint8)
    colors[~known] = 0
    return colors


def draw_disparity(
    image: np.ndarray, disparity: np.ndarray, truth: Optional[np.ndarray] = None
) -> np.ndarray:
    """Put a picture, its predicted disparity and the true one, if given, side by side.

    Args:
        image: (H, W, 3) uint8 RGB.
        disparity: (H, W).
        truth: (H, W).

    Returns:
        (H', W', 3) uint8 RGB.
    """
    pictures = [image, color_disparity(disparity)]
    titles = ["picture", "predicted disparity"]
    if truth is not None:
        pictures.append(color_disparity(truth))
        titles.append("true disparity")
    return side_by_side(pictures, titles)
