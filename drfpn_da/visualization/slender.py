"""Plots of slenderness and sheets of missed slender objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw

from .layout import contact_sheet, draw_figure

TRUTH, FOUND = (0, 190, 90), (230, 60, 40)


def plot_slenderness(
    values: Mapping[str, np.ndarray], edges: Sequence[float] = (1 / 5, 1 / 3), dpi: int = 110
) -> np.ndarray:
    """Draw histograms of slenderness, one panel for each class.

    Args:
        values: class -> slenderness of its objects, in [0, 1].
        edges: of the bins, drawn as lines.
        dpi: resolution.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    from matplotlib.figure import Figure

    columns = min(4, max(len(values), 1))
    rows = -(-max(len(values), 1) // columns)
    figure = Figure(figsize=(3.2 * columns, 2.2 * rows), dpi=dpi, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis, (name, these) in zip(axes, values.items()):
        axis.hist(these, bins=np.linspace(0, 1, 31), color="C0")
        for edge in edges:
            axis.axvline(edge, color="C3", linewidth=0.8)
        axis.set_title(f"{name} ({len(these)})", fontsize="small")
        axis.set_xlim(0, 1)
    for axis in axes[len(values) :]:
        axis.axis("off")
    figure.supxlabel("slenderness: short over long side", fontsize="small")
    return draw_figure(figure)


def draw_misses(
    pictures: Sequence[np.ndarray],
    truth: Sequence[Sequence[float]],
    found: Sequence[Sequence[float] | None],
    titles: Sequence[str],
    side: int = 240,
    columns: int = 5,
) -> np.ndarray:
    """Draw missed objects with what came nearest, each cut out with its surroundings.

    Args:
        pictures: (H, W, 3) uint8 RGB, one for each object.
        truth: x, y, w, h of the objects (green).
        found: x, y, w, h of the detection of their class that overlaps them most (red), or None.
        titles: one for each object.
        side: of the square cut-outs on the sheet.
        columns: cut-outs in a row.

    Returns:
        (H', W', 3) uint8 RGB.

    Raises:
        ValueError: without objects.
    """
    cells = []
    for picture, box, near in zip(pictures, truth, found):
        x, y, w, h = box
        # As much of the surroundings as the object is long, at least 48 pixels in all.
        reach = max(max(w, h), 24.0)
        left, top = x + w / 2 - reach, y + h / 2 - reach
        scale = side / (2 * reach)
        area = (left, top, left + 2 * reach, top + 2 * reach)
        image = Image.fromarray(picture)
        cell = image.transform(
            (side, side), Image.Transform.EXTENT, area, Image.Resampling.BILINEAR
        )
        pen = ImageDraw.Draw(cell)
        for shape, colour in ((near, FOUND), (box, TRUTH)):
            if shape is not None:
                corner = (shape[0] - left) * scale, (shape[1] - top) * scale
                end = corner[0] + shape[2] * scale, corner[1] + shape[3] * scale
                pen.rectangle((*corner, *end), outline=colour, width=2)
        cells.append(np.asarray(cell))
    return contact_sheet(cells, titles, columns)
