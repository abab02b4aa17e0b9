"""The chapter about DepthMix: what is mixed, how, and what is learnt from it."""

from __future__ import annotations

import itertools

from ...visualization import Page, curve
from ...visualization.mixes import mix_cells
from ..visualize import mixed_batches
from .runs import Run

SHOWN = 2
MIOU = "sem_seg/mIoU"


def add_chapter(page: Page, run: Run) -> None:
    """Add the chapter."""
    cfg = run.cfg
    page.heading("3. DepthMix: nearer things cover farther ones")
    page.text(
        "Two pictures without labels become one: a pixel of the first stays where it is nearer "
        "than that of the second; the teacher's labels are mixed alike, and the student learns "
        "the mix (black: no class; confidence: how sure the teacher is)."
    )
    page.text(summary(run, cfg.DATASETS.LABELLED.COUNT, cfg.MODEL.DEPTH_MIX.START_ITER))
    for batch, mix, metadata in itertools.islice(mixed_batches(cfg), 1):
        for cells, titles in mix_cells(mix, metadata, cfg.INPUT.FORMAT)[: min(SHOWN, len(batch))]:
            page.gallery(cells, titles, columns=4, width=165)


def summary(run: Run, labelled: int, start: int) -> str:
    """Say how accuracy went, from the steps on labels alone to the end."""
    steps, values = curve(run.records, MIOU)
    if len(values) < 2:
        return "Accuracy was not measured."
    before, after = float(values[0]), float(values[-1])
    went = "rose" if after > before else "did not rise"
    return (
        f"With {labelled} labelled pictures, mIoU {went}: {before:.1f} after {start} steps on "
        f"labels alone, {after:.1f} after {steps[-1] + 1:.0f}, most of them with mixes. How much "
        "of that is owed to the mixes, one training cannot tell: see docs/results.md."
    )
