"""Mix strips: what was mixed, how, and what is learnt from it."""

from __future__ import annotations

from typing import Any, Optional

import numpy as np
from detectron2.data import Metadata
from detectron2.data.detection_utils import convert_image_to_rgb
from detectron2.utils import colormap

from .depth import color_disparity
from .layout import side_by_side

#: Pictures and their titles.
Cells = tuple[list[np.ndarray], list[str]]


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
    shown = (pictures, mask, mixed, labels, confidence, metadata, disparities)
    return side_by_side(*_mix_cells(*shown))


def _mix_cells(
    pictures: tuple[np.ndarray, np.ndarray],
    mask: np.ndarray,
    mixed: np.ndarray,
    labels: np.ndarray,
    confidence: np.ndarray,
    metadata: Metadata,
    disparities: Optional[tuple[np.ndarray, np.ndarray]],
) -> Cells:
    cells = [*pictures]
    titles = ["first", "second"]
    if disparities is not None:
        cells += [color_disparity(disparity) for disparity in disparities]
        titles += ["disparity", "disparity"]
    cells += [_grey(mask), mixed, color_labels(labels, metadata), _grey(confidence)]
    return cells, [*titles, "mask", "mix", "label", "confidence"]


def draw_mixes(mix: Any, metadata: Metadata, image_format: str) -> list[np.ndarray]:
    """Draw the strip of each picture of a mixed batch.

    Args:
        mix: batch as ``drfpn_da.objectives.depth_mix.Mix``.
        metadata: with "stuff_colors", or else detectron2's palette is used.
        image_format: of the pictures, as INPUT.FORMAT.

    Returns:
        A strip of :func:`draw_mix` for each picture; pictures and mixes as the student sees them.
    """
    return [side_by_side(*cells) for cells in mix_cells(mix, metadata, image_format)]


def mix_cells(mix: Any, metadata: Metadata, image_format: str) -> list[Cells]:
    """Return the single pictures of each strip of :func:`draw_mixes`, with their titles."""
    strips = []
    for i in range(len(mix.inputs)):
        pair = [i, (i + 1) % len(mix.inputs)]
        # Strongly augmented, and of its own size; the canvas may be larger.
        mixed = mix.inputs[i]["image"]
        height, width = mixed.shape[-2:]
        first, second, shown = (
            convert_image_to_rgb(picture[:, :height, :width].permute(1, 2, 0).cpu(), image_format)
            for picture in (*mix.pictures[pair], mixed)
        )
        mask, labels, confidence = (
            values[i, :height, :width].cpu().numpy()
            for values in (mix.masks, mix.labels, mix.confidence)
        )
        near = None
        if mix.disparity is not None:
            one, other = mix.disparity[pair, :height, :width].cpu().numpy()
            near = (one, other)
        pictures = (first.astype(np.uint8), second.astype(np.uint8))
        strips.append(
            _mix_cells(pictures, mask, shown.astype(np.uint8), labels, confidence, metadata, near)
        )
    return strips


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
