"""A page about corrected or suspicious labels: counts, flow between classes, crops."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from ..labels.audit import Suspect
from ..labels.journal import Entry
from .draw import read_rgb
from .layout import side_by_side
from .page import Page

BEFORE, AFTER = (214, 39, 40), (31, 119, 60)
# Pixels of the longer side of a crop, and how much of the surroundings it shows.
CROP_SIDE = 220
CONTEXT = 0.6


def draw_crop(
    image: np.ndarray,
    box: Sequence[float],
    colour: tuple[int, int, int],
    other: Sequence[float] | None = None,
) -> np.ndarray:
    """Cut out a box with its surroundings, enlarge it, and outline the box.

    Args:
        image: (H, W, 3) uint8 RGB.
        box: absolute x, y, width, height.
        colour: RGB of its outline.
        other: a second box, outlined as what is correct.

    Returns:
        (h, w, 3) uint8 RGB with a longer side of 220.
    """
    height, width = image.shape[:2]
    x, y, w, h = box
    reach = CONTEXT * max(w, h, 8)
    left, top = max(int(x - reach), 0), max(int(y - reach), 0)
    right, bottom = min(int(x + w + reach) + 1, width), min(int(y + h + reach) + 1, height)
    right, bottom = max(right, left + 1), max(bottom, top + 1)
    scale = CROP_SIDE / max(right - left, bottom - top)
    size = max(int((right - left) * scale), 1), max(int((bottom - top) * scale), 1)
    crop = Image.fromarray(image[top:bottom, left:right]).resize(size, Image.Resampling.BILINEAR)
    pen = ImageDraw.Draw(crop)
    for shown, outline in ((other, AFTER), (box, colour)):
        if shown is not None:
            a, b, c, d = shown
            corners = [(a - left) * scale, (b - top) * scale]
            corners += [(a + c - left) * scale, (b + d - top) * scale]
            pen.rectangle(corners, outline=outline, width=2)
    return np.asarray(crop)


def relabel_page(
    title: str,
    entries: Sequence[Entry],
    settings: Mapping[str, Any],
    suspects: Sequence[Suspect] = (),
    limit: int = 60,
) -> Page:
    """Build the page.

    Args:
        title: of the page.
        entries: the last entry of each corrected annotation.
        settings: thresholds, as name -> value.
        suspects: further findings, reported only.
        limit: crops of each kind; the most suspicious are shown.
    """
    page = Page(title, "Most suspicious first. Red: as labelled. Green: as the detector sees it.")
    page.text(
        "To settle: write accept or reject into the first column of review.csv beside this page, "
        "and read it back with drfpn-da audit apply; export then writes a corrected file."
    )
    states = Counter(entry.status for entry in entries)
    kinds = Counter(suspect.kind for suspect in suspects)
    counts = [[f"class: {state}", number] for state, number in states.items()]
    counts += [[f"{kind} (report only)", number] for kind, number in kinds.items()]
    page.heading("Counts").table(["what", "annotations"], counts)
    if entries:
        page.heading("From class to class").table(*flow_table(entries))
    page.heading("Thresholds").table(["name", "value"], [[k, str(v)] for k, v in settings.items()])
    if entries:
        page.heading("Other class")
        if len(entries) > limit:
            page.text(f"The first {limit} of {len(entries)}; review.csv has all that are open.")
        for entry in sorted(entries, key=lambda e: -e.margin)[:limit]:
            _add_entry(page, entry)
    headings = {"location": "Badly located", "overlooked": "Overlooked"}
    for kind, heading in headings.items():
        chosen = sorted((s for s in suspects if s.kind == kind), key=lambda s: -s.score)
        if chosen:
            page.heading(heading)
        if len(chosen) > limit:
            page.text(f"The first {limit} of {len(chosen)}; suspects.json has all.")
        for suspect in chosen[:limit]:
            _add_suspect(page, suspect)
    return page


def flow_table(entries: Sequence[Entry]) -> tuple[list[str], list[list[object]]]:
    """Return header and rows of the table of moves; rows are the given classes."""
    moves = Counter((entry.old, entry.new) for entry in entries)
    names = sorted({name for pair in moves for name in pair})
    rows: list[list[object]] = [[old, *(moves[old, new] for new in names)] for old in names]
    return ["from \\ to", *names], rows


def _add_entry(page: Page, entry: Entry) -> None:
    if not Path(entry.file_name).is_file():
        page.text(f"Annotation {entry.annotation_id}: {entry.file_name} is missing.")
        return
    image = read_rgb(entry.file_name)
    crops = [draw_crop(image, entry.box, colour) for colour in (BEFORE, AFTER)]
    titles = [f"{entry.old} {entry.p_old:.2f}", f"{entry.new} {entry.p_new:.2f}"]
    facts = f"annotation {entry.annotation_id}, {Path(entry.file_name).name}, {entry.status}"
    facts += f": margin {entry.margin:.2f}"
    if entry.count:
        votes = f"{entry.count} vote" + "s" * (entry.count > 1)
        facts += f", importance {entry.alpha:.2f}, {votes}, {entry.agree:.0%} agree"
    page.picture(side_by_side(crops, titles), facts)


def _add_suspect(page: Page, suspect: Suspect) -> None:
    if not Path(suspect.file_name).is_file():
        page.text(f"{suspect.file_name} is missing.")
        return
    colour = AFTER if suspect.kind == "overlooked" else BEFORE
    crop = draw_crop(read_rgb(suspect.file_name), suspect.box, colour, suspect.found)
    what = f"annotation {suspect.annotation_id}, " if suspect.annotation_id is not None else ""
    page.picture(crop, f"{what}{suspect.new}, {Path(suspect.file_name).name}: {suspect.score:.2f}")
