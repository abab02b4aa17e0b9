"""Strips that show mixed images, their masks and their labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from detectron2.data import Metadata
from detectron2.data.detection_utils import convert_image_to_rgb
from detectron2.utils import colormap

from .depth import color_disparity
from .layout import side_by_side

#: Pictures and their titles.
Cells = tuple[list[np.ndarray], list[str]]


def draw_mixes(mix: Any, metadata: Metadata, image_format: str) -> list[np.ndarray]:
    """Draw a strip for each picture of a mixed batch; arguments as of :func:`mix_cells`."""
    return [side_by_side(*cells) for cells in mix_cells(mix, metadata, image_format)]


def mix_cells(mix: Any, metadata: Metadata, image_format: str) -> list[Cells]:
    """Return for each picture of a mixed batch what is mixed, how, and what is learnt from it.

    Args:
        mix: batch as ``drfpn_da.objectives.depth_mix.Mix``.
        metadata: with "stuff_colors", or else detectron2's palette is used.
        image_format: of the pictures, as INPUT.FORMAT.

    Returns:
        Pictures, (H, W, 3) uint8 RGB, and their titles: the pair, its disparities if there are any,
        the mask (white where the first is shown), the mix as the student sees it, its labels (what
        is no class is black) and their confidence (white for 1).
    """
    strips = []
    for i, sample in enumerate(mix.inputs):
        pair = [i, (i + 1) % len(mix.inputs)]
        # Strongly augmented, and of its own size; the canvas may be larger.
        mixed = sample["image"]
        height, width = mixed.shape[-2:]
        *cells, shown = (
            convert_image_to_rgb(
                picture[:, :height, :width].permute(1, 2, 0).cpu(), image_format
            ).astype(np.uint8)
            for picture in (*mix.pictures[pair], mixed)
        )
        titles = ["first", "second"]
        mask, labels, confidence = (
            values[i, :height, :width].cpu().numpy()
            for values in (mix.masks, mix.labels, mix.confidence)
        )
        if mix.disparity is not None:
            near = mix.disparity[pair, :height, :width].cpu().numpy()
            cells += [color_disparity(one) for one in near]
            titles += ["disparity", "disparity"]
        cells += [_grey(mask), shown, color_labels(labels, metadata), _grey(confidence)]
        strips.append((cells, [*titles, "mask", "mix", "label", "confidence"]))
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
