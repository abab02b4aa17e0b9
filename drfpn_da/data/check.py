"""The check of data by itself: label files, folders of pictures, and a report for machines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

from .coco import Findings, read_coco
from .picture_files import list_pictures, picture_header


def check_data(path: Path, images: Optional[Path] = None, *, labels: bool = True) -> Findings:
    """Check a COCO file, or the pictures below a folder; every header is read.

    Args:
        path: of a COCO file, or of a folder.
        images: folder that the file names of a COCO file start from; None: its pictures are not
            looked for.
        labels: False: a file's pictures alone are checked, as of a target domain.

    Raises:
        OSError: the file cannot be read.
    """
    if path.is_dir():
        return _check_folder(path)
    return read_coco(path, images, labels=labels, opened=None).findings


def report(checked: Sequence[Findings]) -> dict[str, Any]:
    """Return the machine-readable report: "sound", and of each file what was found."""
    return {
        "sound": not any(findings.errors for findings in checked),
        "files": [findings.as_dict() for findings in checked],
    }


def _check_folder(folder: Path) -> Findings:
    findings = Findings(str(folder))
    pictures = list_pictures(folder)
    if not pictures:
        findings.add("no_picture")
    for path in pictures:
        try:
            wide = picture_header(path).wide
        except ValueError as error:
            findings.add("image_unreadable", detail=str(error))
            continue
        if wide:
            findings.add("image_wide", detail=str(path))
    return findings
