"""Features of two domains drawn in planes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .layout import draw_figure


@dataclass(frozen=True)
class DomainPanel:
    """One plane with the pictures of both domains as points.

    Attributes:
        title: above the plane.
        source: (N, 2) points.
        target: (M, 2) points.
    """

    title: str
    source: np.ndarray
    target: np.ndarray


def draw_domains(
    panels: Sequence[DomainPanel],
    columns: int = 2,
    names: tuple[str, str] = ("source", "target"),
    dpi: int = 110,
) -> np.ndarray:
    """Draw planes in a grid, row by row, source and target in two colours.

    Args:
        panels: at least one.
        columns: planes in a row.
        names: of the domains, for the legend.
        dpi: resolution.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        ValueError: no panel.
    """
    from matplotlib.figure import Figure

    if not panels:
        raise ValueError("draw_domains needs at least one panel.")
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(3.4 * columns, 3.2 * rows + 0.4), dpi=dpi, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    for axis, panel in zip(axes, panels):
        for points, name, colour, marker in zip(
            (panel.source, panel.target), names, ("C0", "C1"), ("o", "^")
        ):
            axis.scatter(*points.T, s=14, c=colour, marker=marker, alpha=0.6, label=name, lw=0)
        # The directions have no meaning of their own.
        axis.set(xticks=[], yticks=[])
        axis.set_title(panel.title, fontsize="medium")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, fontsize="small")
    return draw_figure(figure)
