"""Reliability diagrams: how often predictions of each confidence are right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .layout import draw_figure


def plot_reliability(
    diagrams: Mapping[str, Sequence[Mapping[str, float]]], dpi: int = 110
) -> np.ndarray:
    """Draw diagrams side by side; the further from the diagonal, the worse calibrated.

    Args:
        diagrams: title -> bins of :func:`drfpn_da.functional.reliability_bins`.
        dpi: resolution.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        ValueError: there is no diagram.
    """
    from matplotlib.figure import Figure

    if not diagrams:
        raise ValueError("there is no reliability diagram to draw")
    figure = Figure(figsize=(2.6 * len(diagrams), 2.9), dpi=dpi, layout="constrained")
    axes = figure.subplots(1, len(diagrams), squeeze=False, sharey=True)[0]
    for axis, (title, bins) in zip(axes, diagrams.items()):
        left = [one["from"] for one in bins]
        width = [one["to"] - one["from"] for one in bins]
        shares = [one["share"] for one in bins]
        axis.bar(left, shares, width, align="edge", color="0.85", label="share")
        points = ([one[key] for one in bins] for key in ("confidence", "accuracy"))
        axis.plot(*points, "C0.-", label="accuracy")
        axis.plot([0, 1], [0, 1], "k:", linewidth=1)
        axis.set(title=title, xlabel="confidence", xlim=(0, 1), ylim=(0, 1))
    axes[0].legend(fontsize="small")
    return draw_figure(figure)
