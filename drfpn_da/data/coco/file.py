"""Reading a COCO file: checked, and repaired where a harmless repair is right."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Optional

from ...files import cache_root
from ...functional.slenderness import is_polygon
from ..datasets.paths import build_once, fingerprint
from .annotations import AnnotationCheck, LabelCounts
from .entries import check_classes, check_images
from .findings import Finding, Findings
from .pictures import check_picture_files

logger = logging.getLogger(__name__)

#: Repairs that readers other than this module need in the file itself.
REWRITTEN = (
    "encoding",
    "annotations_null",
    "image_backslashes",
    "image_no_size",
    "polygon_empty",
)
#: Errors of single pictures, which a caller may leave out.
OF_PICTURES = ("image_missing", "image_unreadable")
#: Findings of registration are of this many opened pictures, so that it stays quick.
OPENED = 500
# Part of the name of repaired copies: another repair makes another copy.
_REPAIRS = 1


class CocoFileError(ValueError):
    """A COCO file cannot be used; names each kind of error, its first places, and the mend."""


class MissingPictureError(CocoFileError, FileNotFoundError):
    """Pictures that a COCO file lists do not exist."""


@dataclass
class CocoFile:
    """A COCO file as it was read.

    Attributes:
        path: of the file.
        data: its content, repaired in memory; None if it is no COCO file.
        findings: what is wrong, and what was done.
        counts: of the annotations.
        lost: positions of the pictures that are missing or unreadable.
        images: folder of the pictures, None if they were not looked for.
    """

    path: Path
    data: Optional[dict[str, Any]]
    findings: Findings
    counts: LabelCounts
    lost: set[int] = field(default_factory=set)
    images: Optional[Path] = None

    def raise_errors(self, prefix: str = "", allow: Collection[str] = ()) -> None:
        """Raise CocoFileError if there is an error.

        Args:
            prefix: of the message, for example the name of the data set.
            allow: kinds of errors that the caller deals with.

        Raises:
            CocoFileError: as a FileNotFoundError if pictures are missing.
        """
        errors = [finding for finding in self.findings.errors if finding.code not in allow]
        if not errors:
            return
        missing = any(finding.code == "image_missing" for finding in errors)
        kind = MissingPictureError if missing else CocoFileError
        raise kind(prefix + message(self.path, errors))

    def log_warnings(self, prefix: str = "") -> None:
        """Log what is wrong and can be used all the same, once for each kind."""
        if self.findings.warnings:
            logger.warning("%s%s", prefix, message(self.path, self.findings.warnings))

    def repaired_copy(self) -> Path:
        """Return a file that any reader understands: this one, or a repaired copy in the cache.

        The file of the user is never written.
        """
        if not any(code in self.findings for code in REWRITTEN):
            return self.path
        assert self.data is not None
        key = fingerprint([self.path], str(self.images), _REPAIRS)
        target = cache_root() / "repaired" / key
        return build_once(target, partial(_write, self.path.name, self.data)) / self.path.name


def message(path: Path, findings: list[Finding]) -> str:
    """Return findings as one text, a line for each kind."""
    if len(findings) == 1:
        return f"{path}: {findings[0]}"
    return "\n".join([f"{path}:", *(f"- {finding}" for finding in findings)])


def read_coco(
    path: str | os.PathLike,
    images: Optional[str | os.PathLike] = None,
    *,
    labels: bool = True,
    opened: Optional[int] = OPENED,
) -> CocoFile:
    """Read, check and repair a file in COCO's instances format.

    Args:
        path: of the JSON file.
        images: folder that its file names start from; None: pictures are not looked for.
        labels: False: the pictures alone are checked and kept, whatever else the file holds.
        opened: headers of so many pictures are compared with the file; None: of all.

    Raises:
        OSError: the file cannot be read.
    """
    path = Path(path)
    findings = Findings(str(path))
    file = CocoFile(path, None, findings, LabelCounts(str(path)))
    data = _parse(path.read_bytes(), findings)
    if data is None or not _has_lists(data, labels, findings):
        return file
    sizes = check_images(data["images"], findings)
    file.images = None if images is None else Path(images)
    if file.images is not None and not any(code in findings for code in _NAMELESS):
        _read_backslashes(data["images"], file.images, findings)
        file.lost = check_picture_files(data["images"], file.images, findings, opened)
        sizes = {i["id"]: _size(i) for i in data["images"] if type(i.get("id")) in (int, str)}
    if labels:
        classes = check_classes(data["categories"], findings)
        if "annotations" in data:
            file.counts = AnnotationCheck(sizes, classes, findings)(data["annotations"])
            _drop_empty_polygons(data["annotations"], findings)
    file.data = data
    return file


_NAMELESS = ("image_malformed", "image_file_name", "image_size")


def load_coco(path: str | os.PathLike) -> dict[str, Any]:
    """Return the content of a COCO file for a tool, repaired in memory; warnings are logged.

    Raises:
        OSError: the file cannot be read.
        CocoFileError: it has an error.
    """
    file = read_coco(path)
    file.raise_errors()
    file.log_warnings()
    assert file.data is not None
    file.data.setdefault("annotations", [])
    return file.data


def _parse(raw: bytes, findings: Findings) -> Any:
    # UTF-16 and UTF-32 too, with a byte order mark or without.
    encoding = json.detect_encoding(raw)
    if encoding != "utf-8":
        findings.add("encoding", detail=encoding)
    try:
        return json.loads(raw.decode(encoding))
    except ValueError as error:
        findings.add("not_json", detail=str(error))
        return None


def _has_lists(data: Any, labels: bool, findings: Findings) -> bool:
    """Check the outer form; ``annotations`` that are null are removed."""
    if not isinstance(data, dict):
        findings.add("not_coco", detail=f"it holds a {type(data).__name__}, not an object")
        return False
    if labels and "annotations" in data and data["annotations"] is None:
        findings.add("annotations_null")
        del data["annotations"]
    needed = ["images", *(["categories"] if labels else [])]
    optional = ["annotations"] if labels and "annotations" in data else []
    for key in (*needed, *optional):
        if not isinstance(data.get(key), list):
            kind = type(data[key]).__name__ if key in data else ""
            detail = f"'{key}' is a {kind}, not a list" if kind else f"it has no '{key}' list"
            findings.add("not_coco", detail=detail)
    return not findings.errors


def _size(image: dict[str, Any]) -> tuple[float, float] | None:
    width, height = image.get("width"), image.get("height")
    return None if width is None or height is None else (width, height)


def _read_backslashes(images: list[dict[str, Any]], root: Path, findings: Findings) -> None:
    for number, image in enumerate(images):
        name = image["file_name"]
        # Where the system allows it, a backslash may be part of a name.
        if "\\" in name and not (root / name).is_file():
            image["file_name"] = name.replace("\\", "/")
            findings.add("image_backslashes", "images", number, image.get("id"), name)


def _drop_empty_polygons(annotations: list[Any], findings: Findings) -> None:
    """Remove outlines without three points, with which detectron2 drops the whole annotation."""
    if "polygon_empty" not in findings:
        return
    for annotation in annotations:
        parts = annotation.get("segmentation") if isinstance(annotation, dict) else None
        if isinstance(parts, list) and all(isinstance(part, list) for part in parts):
            if not any(map(is_polygon, parts)):
                del annotation["segmentation"]


def _write(name: str, data: dict[str, Any], folder: Path) -> None:
    (folder / name).write_text(json.dumps(data), encoding="utf-8")
