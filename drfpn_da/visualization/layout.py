"""Several pictures on one."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BACKGROUND = 255
GAP = 6
TITLE_SIZE = 18


def side_by_side(images: Sequence[np.ndarray], titles: Sequence[str] = ()) -> np.ndarray:
    """Put pictures in a row, each under its title. See :func:`contact_sheet`."""
    return contact_sheet(images, titles, columns=max(len(images), 1))


def contact_sheet(
    images: Sequence[np.ndarray], titles: Sequence[str] = (), columns: int = 4
) -> np.ndarray:
    """Put pictures in a grid on white, row by row.

    Args:
        images: (H, W, 3) uint8 RGB; sizes may differ, cells are as large as the largest.
        titles: one per picture, or none at all.
        columns: pictures in a row.

    Returns:
        (H', W', 3) uint8 RGB.

    Raises:
        ValueError: without pictures, or with a different number of titles.
    """
    if not images:
        raise ValueError("contact_sheet needs at least one picture.")
    if titles and len(titles) != len(images):
        raise ValueError(f"{len(titles)} titles for {len(images)} pictures.")
    columns = min(columns, len(images))
    rows = math.ceil(len(images) / columns)
    head = TITLE_SIZE + GAP if titles else 0
    height = max(image.shape[0] for image in images) + head + GAP
    width = max(image.shape[1] for image in images) + GAP
    sheet = Image.new("RGB", (columns * width + GAP, rows * height + GAP), (BACKGROUND,) * 3)
    pen = ImageDraw.Draw(sheet)
    for i, image in enumerate(images):
        left, top = GAP + i % columns * width, GAP + i // columns * height
        if titles:
            pen.text((left, top), titles[i], fill=(20, 20, 20), font=_font())
        sheet.paste(Image.fromarray(image), (left, top + head))
    return np.asarray(sheet)


def draw_figure(figure: Figure) -> np.ndarray:
    """Draw a figure of matplotlib, as (H, W, 3) uint8 RGB."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


@functools.cache
def _font() -> ImageFont.FreeTypeFont:
    # Matplotlib ships this one, so it is there on every system.
    from matplotlib import font_manager

    return ImageFont.truetype(font_manager.findfont("DejaVu Sans"), TITLE_SIZE - 4)
