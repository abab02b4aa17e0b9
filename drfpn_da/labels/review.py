"""A table of proposed corrections for a person to accept or reject."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable
from pathlib import Path

from .identity import AnnotationId
from .journal import Entry, Key

COLUMNS = (
    "verdict",
    "dataset",
    "annotation_id",
    "image_id",
    "file_name",
    "from",
    "to",
    "margin",
    "p_from",
    "p_to",
)
VERDICTS = {"accept": True, "reject": False}


def write_review(entries: Iterable[Entry], path: str | os.PathLike) -> None:
    """Write one row per correction, most suspicious first; "verdict" is for the reader to fill.

    Args:
        entries: proposed or applied.
        path: CSV file.
    """
    rows = sorted(entries, key=lambda entry: -entry.margin)
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for e in rows:
            numbers = [f"{value:.4f}" for value in (e.margin, e.p_old, e.p_new)]
            identity = [e.dataset, e.annotation_id, e.image_id, e.file_name]
            writer.writerow(["", *identity, e.old, e.new, *numbers])


def read_review(path: str | os.PathLike, entries: Iterable[Entry]) -> dict[Key, bool]:
    """Read the verdicts: annotation -> accepted. Rows without a verdict are left out.

    Args:
        path: CSV file of :func:`write_review`, filled.
        entries: of the journal, to find the annotations.

    Raises:
        ValueError: another verdict than "accept" or "reject", or an annotation that the journal
            does not have; names the line.
    """
    known: dict[tuple[str, str], Key] = {(e.dataset, str(e.annotation_id)): e.key for e in entries}
    verdicts: dict[Key, bool] = {}
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        missing = {"verdict", "dataset", "annotation_id"} - set(reader.fieldnames or ())
        if missing:
            raise ValueError(f"{Path(path)} has no column '{sorted(missing)[0]}'")
        for number, row in enumerate(reader, start=2):
            word = (row["verdict"] or "").strip().lower()
            if not word:
                continue
            if word not in VERDICTS:
                raise ValueError(
                    f"{path}, line {number}: verdict '{row['verdict']}'; write accept, reject or "
                    "nothing"
                )
            identity: tuple[str, AnnotationId] = (row["dataset"], row["annotation_id"])
            if identity not in known:
                raise ValueError(
                    f"{path}, line {number}: annotation {identity[1]} of '{identity[0]}' is not in "
                    "the journal"
                )
            verdicts[known[identity]] = VERDICTS[word]
    return verdicts
