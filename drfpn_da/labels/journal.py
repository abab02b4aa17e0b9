"""The journal of label corrections on disk: lines only ever added, each with a checksum."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from ..files import write_whole
from .identity import AnnotationId, DatasetIdentity

FORMAT = "drfpn_da relabels"
VERSION = 1
#: Statuses settled by a person.
REVIEWED = ("accepted", "rejected")
#: Statuses that a person's commands give, never training.
BY_PERSON = (*REVIEWED, "undone")
Key = tuple[str, AnnotationId]


@dataclass(frozen=True)
class Entry:
    """One step in the life of an annotation's class.

    ``status`` is "proposed": would be changed (dry run); "applied": changed by training; "undone":
    set back; or one of :data:`REVIEWED`. ``box`` is x, y, width, height in pixels of the picture.
    ``p_old`` and ``p_new`` are mean probabilities, ``alpha`` mean importance, of ``count`` votes, a
    share ``agree`` of them for ``new``; -1 where nobody voted. ``undoes`` says how many changes of
    the annotation, the last ones, an undone entry sets back; 0 in older journals: all since the
    class was ``new`` first.
    """

    round: int
    iteration: int
    status: str
    dataset: str
    image_id: Any
    annotation_id: AnnotationId
    file_name: str
    box: tuple[float, ...]
    old: str
    new: str
    p_old: float = -1.0
    p_new: float = -1.0
    alpha: float = -1.0
    count: int = 0
    agree: float = -1.0
    undoes: int = 0

    @property
    def key(self) -> Key:
        """What identifies the annotation."""
        return self.dataset, self.annotation_id

    @property
    def margin(self) -> float:
        """By how much ``new`` is more probable."""
        return self.p_new - self.p_old


@dataclass(frozen=True)
class Journal:
    """A header and entries, as on disk."""

    datasets: tuple[DatasetIdentity, ...]
    settings: dict[str, Any]
    entries: tuple[Entry, ...]


def write_journal(journal: Journal, path: str | os.PathLike) -> None:
    """Write a journal, whole or not at all.

    Raises:
        OSError: the disk is full, or the folder cannot be written; names the file. What was at
            ``path`` is still there.
    """
    header = {
        "format": FORMAT,
        "version": VERSION,
        "datasets": [asdict(dataset) for dataset in journal.datasets],
        "settings": journal.settings,
    }
    lines = [_line(header), *(_line(asdict(entry)) for entry in journal.entries)]
    lines.append(_line({"end": len(journal.entries)}))
    write_whole(path, lambda file: file.writelines(line.encode() for line in lines))


def read_journal(path: str | os.PathLike) -> Journal:
    """Read a journal.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is damaged, cut short, or of another format; the file is left as it is, and
            the message says how to recover what is whole.
    """
    lines, problem = _whole_lines(Path(path))
    if problem is None and (not lines or lines[-1] != {"end": len(lines) - 2}):
        problem = f"it ends after {len(lines)} lines, without its last one"
    if problem is not None and not lines:
        raise ValueError(
            f"journal {path} is damaged, or not a journal: {problem}. It is left as it is; nothing "
            "of it can be recovered"
        )
    if problem is not None:
        raise ValueError(
            f"journal {path} is damaged: {problem}. It is left as it is; what is whole "
            f"({len(lines) - 1} entries) can be written to a new file:\n"
            f"  drfpn-da audit recover --journal {path} --output recovered.jsonl\n"
            "(in a checkout tools/audit_labels.py recover is the same)"
        )
    return _build(path, lines[0], lines[1:-1])


def recover_journal(path: str | os.PathLike) -> Journal:
    """Return what is whole of a damaged journal: everything before the first bad line.

    Raises:
        ValueError: not even the header is whole.
    """
    lines, problem = _whole_lines(Path(path))
    if not lines:
        raise ValueError(f"nothing of journal {path} can be recovered: {problem}")
    return _build(path, lines[0], [line for line in lines[1:] if "end" not in line])


def _line(content: dict[str, Any]) -> str:
    text = json.dumps(content, ensure_ascii=False)
    return f"{zlib.crc32(text.encode()):08x} {text}\n"


def _whole_lines(path: Path) -> tuple[list[dict[str, Any]], str | None]:
    """Return the contents of the lines up to the first bad one, and what is wrong with that."""
    contents: list[dict[str, Any]] = []
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no journal {path}; training with SCN_RELABEL.ENABLED writes one to its "
            "OUTPUT_DIR, and drfpn-da audit sweep to its --output"
        )
    raw = path.read_bytes()
    for number, line in enumerate(raw.split(b"\n")[:-1] if raw else [], start=1):
        checksum, _, text = line.partition(b" ")
        if checksum != f"{zlib.crc32(text):08x}".encode():
            return contents, f"line {number} does not fit its checksum"
        contents.append(json.loads(text))
    if not raw.endswith(b"\n"):
        return contents, f"line {len(contents) + 1} is cut short" if raw else "it is empty"
    return contents, None


def _build(path: Any, header: dict[str, Any], lines: Sequence[dict[str, Any]]) -> Journal:
    if header.get("format") != FORMAT or header.get("version") != VERSION:
        raise ValueError(
            f"{path} is not a journal of corrections in version {VERSION} (its first line says "
            f"format {header.get('format')!r}, version {header.get('version')!r})"
        )
    datasets = tuple(
        DatasetIdentity(**{**dataset, "classes": tuple(dataset["classes"])})
        for dataset in header["datasets"]
    )
    names = {field.name for field in fields(Entry)}
    entries = tuple(
        Entry(**{**{k: v for k, v in line.items() if k in names}, "box": tuple(line["box"])})
        for line in lines
    )
    return Journal(datasets, header["settings"], entries)
