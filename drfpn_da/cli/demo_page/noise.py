"""The chapter about wrong labels: what was injected, and what training corrected."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...labels import Entry, RelabelStore
from ...visualization import Page, read_rgb
from ...visualization.relabels import AFTER, BEFORE, draw_crop
from ..main import call
from .plan import NOISY

CROPS = 8


@dataclass
class Verdict:
    """Corrections judged by the hidden truth; numbers of annotations."""

    annotations: int
    wrong: int
    changed: int
    restored: int
    harmed: int

    @property
    def precision(self) -> float:
        """Percent of the changed labels that are now right, NaN without any."""
        return 100 * self.restored / self.changed if self.changed else float("nan")

    @property
    def recall(self) -> float:
        """Percent of the wrong labels that were restored, NaN without any."""
        return 100 * self.restored / self.wrong if self.wrong else float("nan")

    @property
    def left(self) -> int:
        """Labels that are wrong in the end; a wrong label moved to another wrong class stays so."""
        return self.wrong - self.restored + self.harmed


def judge(corrections: Mapping[object, str], truth: Mapping, names: Mapping[int, str]) -> Verdict:
    """Compare corrections with the truth that ``drfpn-da data noise`` wrote.

    Args:
        corrections: annotation id -> the class name it has now.
        truth: content of the ``.truth.json``.
        names: of the categories.
    """
    true = {flip["id"]: names[flip["true"]] for flip in truth["flips"]}
    restored = sum(true.get(key) == name for key, name in corrections.items())
    harmed = sum(key not in true for key in corrections)
    return Verdict(truth["annotations"], len(true), len(corrections), restored, harmed)


def add_chapter(page: Page, folder: Path) -> None:
    """Add the chapter, and write the audit report that it links to."""
    journal = folder / "relabelled" / "relabels.jsonl"
    store = RelabelStore.load(journal)
    noisy, truth = _read(folder / NOISY), _read((folder / NOISY).with_suffix(".truth.json"))
    names = {c["id"]: c["name"] for c in noisy["categories"]}
    corrections = {key[1]: name for key, name in store.corrections().items()}
    found = judge(corrections, truth, names)
    share = found.wrong / found.annotations
    page.heading("2. Wrong labels, found while training")
    page.text(
        f"{found.wrong:,} of {found.annotations:,} labels ({share:.0%}) were given a wrong class "
        "on purpose; a detector that learns from them all notices, without knowing the truth, "
        "where its votes contradict a label, and corrects it."
    )
    page.text(summary(found))
    page.table(
        ["labels", "number"],
        [
            ["wrong before", found.wrong],
            ["changed by training", found.changed],
            ["of these now right (precision, %)", found.precision],
            ["of the wrong ones restored (recall, %)", found.recall],
            ["right ones spoilt", found.harmed],
            ["wrong after", found.left],
        ],
    )
    report = call(["audit", "report", "--journal", str(journal), "--output", str(folder / "audit")])
    entries = {e.annotation_id: e for e in store.entries if e.annotation_id in corrections}
    true = {flip["id"]: names[flip["true"]] for flip in truth["flips"]}
    add_crops(page, list(entries.values()), true)
    page.link("The audit report: all corrections, to accept or reject",
              (report / "report.html").relative_to(folder).as_posix())  # fmt: skip


def summary(found: Verdict) -> str:
    """Say in one sentence whether the labels are better than before."""
    if not found.changed:
        return "In so short a training no label was changed."
    figures = f"{found.wrong:,} labels were wrong before, {found.left:,} are after it"
    if found.left >= found.wrong:
        return f"{figures}: in this training, relabelling did not help."
    return (
        f"{figures}: {found.precision:.0f} % of the changes are right, and "
        f"{found.recall:.0f} % of the wrong labels are repaired."
    )


def add_crops(page: Page, entries: Sequence[Entry], true: Mapping[object, str]) -> None:
    """Show corrections of each outcome: those that restored a label, and those that did not.

    Args:
        page: to add to.
        entries: the last one of each corrected annotation.
        true: annotation id -> true class name of the labels that had been made wrong.
    """
    ordered = sorted(entries, key=lambda entry: -entry.margin)
    right = [entry for entry in ordered if true.get(entry.annotation_id) == entry.new]
    mistaken = [entry for entry in ordered if true.get(entry.annotation_id) != entry.new]
    for chosen, what, colour in (
        (right, "The surest changes that are right, given → corrected", AFTER),
        (mistaken, "The surest changes that are mistaken", BEFORE),
    ):
        if chosen:
            page.text(f"{what} ({min(CROPS, len(chosen))} of {len(chosen)}):")
            page.gallery(
                [draw_crop(read_rgb(e.file_name), e.box, colour) for e in chosen[:CROPS]],
                [caption(e, true) for e in chosen[:CROPS]],
                columns=CROPS,
                width=105,
            )


def caption(entry: Entry, true: Mapping[object, str]) -> str:
    """Name the given and the present class, and the true one where that is another."""
    truth = true.get(entry.annotation_id, entry.old)
    return f"{entry.old} → {entry.new}" + ("" if truth == entry.new else f" (true: {truth})")


def _read(path: Path) -> dict:
    return json.loads(path.read_text())
