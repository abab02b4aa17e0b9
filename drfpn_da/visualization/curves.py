"""Curves of one or more runs from their ``metrics.json``."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence

import numpy as np
from detectron2.utils.file_io import PathManager

from .layout import draw_figure


def read_metrics(path: str | os.PathLike) -> list[dict[str, float]]:
    """Read detectron2's ``metrics.json``: one dict per line, each with "iteration".

    A half-written last line, which a killed run leaves, is skipped.

    Raises:
        ValueError: for any other line that is not JSON, with its number.
    """
    with PathManager.open(str(path)) as file:
        lines = [line for line in file.read().splitlines() if line.strip()]
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError as error:
            if number < len(lines):
                raise ValueError(f"{path}, line {number}: not JSON ({error}).") from error
    return records


def curve(records: Sequence[Mapping[str, float]], key: str) -> tuple[np.ndarray, np.ndarray]:
    """Return iterations and values of one key, where it was logged and is finite.

    A resumed run repeats iterations; the last value of each counts.
    """
    points = {
        record["iteration"]: record[key]
        for record in records
        if record.get(key) is not None and np.isfinite(record[key])
    }
    iterations = sorted(points)
    return np.array(iterations), np.array([points[i] for i in iterations])


def plot_curves(
    runs: Mapping[str, Sequence[Mapping[str, float]]],
    panels: Mapping[str, Sequence[str]],
    dpi: int = 110,
    xlabel: str = "iteration",
) -> np.ndarray:
    """Plot metrics of runs over iterations, one panel beside the other.

    Args:
        runs: name of the run -> its records (see :func:`read_metrics`).
        panels: title of the panel -> keys drawn in it. With one key the lines are named by run.
        dpi: resolution.
        xlabel: what the records count as "iteration".

    Returns:
        (H, W, 3) uint8 RGB.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5 * len(panels), 3.4), dpi=dpi, layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    styles = ("-", "--", ":", "-.")
    for axis, (title, keys) in zip(axes, panels.items()):
        for colour, (run, records) in enumerate(runs.items()):
            for style, key in zip(styles, keys):
                iterations, values = curve(records, key)
                label = run if len(keys) == 1 else f"{run} {key}"
                axis.plot(
                    iterations,
                    values,
                    styles[0] if len(keys) == 1 else style,
                    color=f"C{colour}",
                    label=label,
                    marker="." if len(values) < 15 else "",
                )
        axis.set(title=title, xlabel=xlabel)
        axis.grid(alpha=0.3)
        axis.legend(fontsize="small")
    return draw_figure(figure)
