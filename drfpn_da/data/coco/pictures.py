"""Checks that the pictures of a COCO file are there, and of the size that it says."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path
from typing import Any, Optional

from ..picture_files import PictureHeader, picture_header
from .findings import Findings

#: From so many pictures on, a folder is listed once in place of asking for each.
LISTED = 50

Entry = tuple[int, dict[str, Any]]


def check_picture_files(
    images: list[dict[str, Any]], root: Path, findings: Findings, opened: Optional[int]
) -> set[int]:
    """Check pictures on disk; those without a size in the file are opened and get theirs.

    Args:
        images: entries of the file, with file names; widths and heights are filled in.
        root: folder that the file names start from.
        findings: gets what is found.
        opened: so many headers, evenly spread, are read and compared; None: all.

    Returns:
        Positions of the entries whose picture is missing or, as far as opened, unreadable.
    """
    there = _present(images, root, findings)
    lost = set(range(len(images))) - {number for number, _ in there}
    step = 1 if opened is None else max(1, len(there) // max(1, opened))
    for place, (number, image) in enumerate(there):
        unsized = image.get("width") is None or image.get("height") is None
        if not unsized and place % step:
            continue
        path = root / image["file_name"]
        try:
            header = picture_header(path)
        except ValueError as error:
            findings.add("image_unreadable", "images", number, image.get("id"), str(error))
            lost.add(number)
            continue
        if header.wide:
            findings.add("image_wide", "images", number, image.get("id"), image["file_name"])
        if unsized:
            image["width"], image["height"] = header.width, header.height
        else:
            _compare(image, number, header, path, findings)
    return lost


def _present(images: list[dict[str, Any]], root: Path, findings: Findings) -> list[Entry]:
    """Return the entries whose picture exists."""
    folders: dict[Path, list[Entry]] = defaultdict(list)
    for number, image in enumerate(images):
        folders[(root / image["file_name"]).parent].append((number, image))
    there: list[Entry] = []
    for folder, entries in folders.items():
        names = None
        if len(entries) >= LISTED and folder.is_dir():
            names = set(os.listdir(folder))
        for number, image in entries:
            path = root / image["file_name"]
            if path.is_file() if names is None else path.name in names:
                there.append((number, image))
            else:
                findings.add("image_missing", "images", number, image.get("id"), str(path))
    return sorted(there, key=lambda entry: entry[0])


def _compare(
    image: dict[str, Any], number: int, header: PictureHeader, path: Path, findings: Findings
) -> None:
    said, true = (image["width"], image["height"]), (header.width, header.height)
    if said == true:
        return
    turned = header.turned and said == true[::-1]
    findings.add(
        "image_turned" if turned else "image_size_differs",
        "images",
        number,
        image.get("id"),
        f"{path} is {true[0]}x{true[1]}, the file says {said[0]}x{said[1]}",
    )
