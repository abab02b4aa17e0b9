"""The chapter about slender objects: the adapted detector's scores by slenderness."""

from __future__ import annotations

import math

from ...evaluation.slender_bins import SLENDERNESS_BINS
from ...visualization import Page
from .runs import Run

NAMES = {"XS": "extremely slender (under 1/5)", "S": "slender (1/5 to 1/3)", "R": "regular"}


def add_chapter(page: Page, run: Run) -> None:
    """Add the chapter."""
    clear, foggy = run.cfg.DATASETS.TEST
    page.heading("4. Thin things")
    page.text(
        "The adapted detector once more, now by the short over the long side of what it is to "
        "find: poles and people are thin, cars are not."
    )
    page.text(summary(run, foggy))
    page.table(*slender_table(run, clear, foggy))
    page.text("mAR: of each class, the share of objects that 100 detections a picture cover.")


def slender_table(run: Run, clear: str, foggy: str) -> tuple[list[str], list[list[object]]]:
    """Objects, AP and recall in each bin, in clear air and in fog."""
    headers = ["short / long side"]
    headers += [f"{what}, {d}" for d in ("clear", "fog") for what in ("objects", "AP", "mAR")]
    rows: list[list[object]] = []
    for this in SLENDERNESS_BINS:
        row: list[object] = [NAMES[this.name]]
        for test in (clear, foggy):
            count = _score(run, test, f"count-{this.name}")
            row += ["-" if math.isnan(count) else int(count)]
            row += [_score(run, test, f"{metric}-{this.name}") for metric in ("AP", "mAR")]
        rows.append(row)
    return headers, rows


def summary(run: Run, test: str) -> str:
    """Compare the recall of the thinnest objects with that of regular ones."""
    thin, regular = (_score(run, test, f"mAR-{name}") for name in ("XS", "R"))
    if math.isnan(thin) or math.isnan(regular):
        return "There are too few objects to compare."
    if thin == regular == 0:
        return "In fog it finds nothing yet."
    if thin < regular:
        return (
            f"In fog it finds thin objects less well than others: recall (mAR) {thin:.1f} against "
            f"{regular:.1f}, which the usual AP does not show."
        )
    return f"In fog it finds thin objects no less well: recall (mAR) {thin:.1f}, {regular:.1f}."


def _score(run: Run, test: str, key: str) -> float:
    return run.final(f"{test}/bbox_slender/{key}")
