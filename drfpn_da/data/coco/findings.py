"""Errors and warnings about the files of a data set, in one table of rules."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Optional

from tabulate import tabulate

from ..picture_files import IMAGE_SUFFIXES

ERROR, WARNING = "error", "warning"
#: Places of one finding that are kept; the count goes on.
KEPT = 1000
#: Places that a message names.
SHOWN = 3

_BOX = 'write "bbox": [x, y, width, height] in pixels, or remove the annotation'
_IDS = "number them from 1"
_RLE = 'write {"size": [height, width], "counts": ...} as COCO does'
_FORM = "COCO's instances format has lists of objects 'images', 'annotations' and 'categories'"


@dataclass(frozen=True)
class Rule:
    """Severity, words and fix of one kind of finding."""

    severity: str
    what: str
    fix: str


#: Every kind of finding. An error stops every use of the labels; a warning says what is done.
RULES = {
    # the file
    "not_json": Rule(ERROR, "is not valid JSON", "restore or export it again"),
    "not_coco": Rule(ERROR, "is not a COCO file", _FORM),
    "encoding": Rule(
        WARNING,
        "is not plain UTF-8",
        "it is read as it is meant; save it as UTF-8 without a byte order mark",
    ),
    "annotations_null": Rule(
        WARNING, "'annotations' is null", "read as if it were absent: pictures without labels"
    ),
    "no_annotation": Rule(
        WARNING,
        "'annotations' is empty",
        "nothing can be trained on or measured; pictures to predict on or to adapt to need no "
        "file: --register-images NAME FOLDER",
    ),
    "all_crowds": Rule(
        WARNING,
        "all annotations have iscrowd 1, which are never trained on",
        'write "iscrowd": 0 where an annotation is a single object',
    ),
    "no_picture": Rule(
        ERROR, "holds no picture", f"name a folder with {', '.join(IMAGE_SUFFIXES)} files"
    ),
    # images
    "image_malformed": Rule(ERROR, "is no object of names and values", _FORM),
    "image_id": Rule(ERROR, "has no usable id", _IDS),
    "image_id_repeated": Rule(ERROR, "repeats an id", _IDS),
    "image_file_name": Rule(ERROR, "has no file_name", "write the path below the image folder"),
    "image_backslashes": Rule(
        WARNING, "file_name has backslashes", "they are read as slashes; write slashes"
    ),
    "image_no_size": Rule(
        WARNING, "has no width and height", "they are read from the picture; write them"
    ),
    "image_size": Rule(
        ERROR,
        "has an impossible width or height",
        "write the picture's size in pixels, or leave both out",
    ),
    "image_missing": Rule(
        ERROR,
        "the picture does not exist",
        "the image folder must be the one that file_name entries start from; restore the picture "
        "or remove its entry",
    ),
    "image_unreadable": Rule(
        ERROR,
        "the picture cannot be read",
        "replace the picture, make it smaller, or remove its entry",
    ),
    "image_size_differs": Rule(
        ERROR,
        "the picture has another size than the file says",
        "write its true width and height, and see that boxes are in its pixels",
    ),
    "image_turned": Rule(
        ERROR,
        "EXIF turns the picture, and the file has the size before the turn",
        "remove the orientation from the picture (exiftool -Orientation= FILE) if the boxes were "
        "drawn without it; else write the size after the turn",
    ),
    "image_twice": Rule(
        WARNING, "lists a file_name that another entry has", "merge the entries if that is unmeant"
    ),
    "image_wide": Rule(
        WARNING,
        "the picture has more than 8 bits",
        "each is stretched from its least to its greatest value; convert them to 8 bits yourself "
        "for one range in common",
    ),
    # categories
    "class_malformed": Rule(ERROR, "is no object with a name", 'write {"id": 1, "name": "car"}'),
    "class_id": Rule(ERROR, "has no usable id", _IDS),
    "class_id_repeated": Rule(ERROR, "repeats an id", _IDS),
    "class_name_repeated": Rule(
        ERROR,
        "has the name of another class",
        "rename one, or give the annotations of both one category_id: results, journals and label "
        "noise tell classes by name",
    ),
    "no_class": Rule(ERROR, "the categories are empty", "list the classes that are annotated"),
    # ids of any kind
    "text_ids": Rule(
        WARNING,
        "ids of pictures or classes are text",
        "they are kept; the evaluation then uses pycocotools, which takes longer",
    ),
    # annotations
    "annotation_malformed": Rule(ERROR, "is no object of names and values", _FORM),
    "annotation_id": Rule(ERROR, "has no usable id", f'add "id": {_IDS}'),
    "annotation_id_repeated": Rule(ERROR, "repeats an id", _IDS),
    "annotation_image": Rule(ERROR, "belongs to no picture of the file", "correct its image_id"),
    "annotation_class": Rule(ERROR, "is of no class of the file", "correct its category_id"),
    "bbox_absent": Rule(ERROR, "has no bbox", _BOX),
    "bbox_malformed": Rule(ERROR, "bbox is not four numbers", _BOX),
    "bbox_not_finite": Rule(ERROR, "bbox has a value that is no number", _BOX),
    "bbox_no_size": Rule(
        WARNING,
        "box without width or height",
        "left out of training; the evaluation counts it as an object not found: correct or remove "
        "it",
    ),
    "bbox_outside": Rule(
        WARNING,
        "box outside the picture",
        "left out of training; the evaluation counts it as an object not found: correct or remove "
        "it",
    ),
    "bbox_clipped": Rule(
        WARNING, "box reaches beyond the picture", "training uses the part inside"
    ),
    "ignore_set": Rule(
        ERROR, "has ignore 1, which detectron2 does not read", 'write "iscrowd": 1 in its place'
    ),
    "crowd_absent": Rule(WARNING, "has no iscrowd", "taken as 0, a single object"),
    "crowd_malformed": Rule(ERROR, "iscrowd is neither 0 nor 1", "write 0 or 1"),
    "area_absent": Rule(
        WARNING, "has no area", "the evaluation takes that of the mask, else of the box"
    ),
    "area_malformed": Rule(
        WARNING, "area is no number", "the evaluation takes that of the mask, else of the box"
    ),
    "polygon_flat": Rule(
        ERROR,
        "segmentation is one flat list",
        "write a list of polygons: [[x, y, x, y, ...]]",
    ),
    "polygon_malformed": Rule(
        ERROR, "segmentation is no list of polygons", "write [[x, y, x, y, ...]], or leave it out"
    ),
    "polygon_empty": Rule(
        WARNING,
        "segmentation has no polygon of three points",
        "the box is kept and has no mask; leave segmentation out",
    ),
    "rle_malformed": Rule(ERROR, "segmentation is no run-length encoding", _RLE),
    "rle_size": Rule(ERROR, "mask has another size than the picture", _RLE),
}


@dataclass(frozen=True)
class Place:
    """Where something was found.

    Attributes:
        where: as in "annotations[4]"; "" for the file itself.
        id: of the entry, None if it has none.
        detail: what this entry has, for the message.
    """

    where: str = ""
    id: Any = None
    detail: str = ""

    def __str__(self) -> str:
        """Return "annotation 5 (annotations[4]): detail"."""
        if not self.where:
            return self.detail
        kind = _KINDS[self.where.split("[")[0]]
        name = self.where if self.id is None else f"{kind} {self.id} ({self.where})"
        return f"{name}: {self.detail}" if self.detail else name


_KINDS = {"annotations": "annotation", "images": "picture", "categories": "class"}


@dataclass
class Finding:
    """All places of one kind of finding.

    Attributes:
        code: key of :data:`RULES`.
        count: of places.
        places: the first :data:`KEPT` of them.
    """

    code: str
    count: int = 0
    places: list[Place] = field(default_factory=list)

    @property
    def rule(self) -> Rule:
        """Severity, words and mend."""
        return RULES[self.code]

    def __str__(self) -> str:
        """Return what was found, the first places, and the mend."""
        named = [text for text in map(str, self.places[:SHOWN]) if text]
        more = f" and {self.count - len(named)} more" if self.count > len(named) > 0 else ""
        places = f" - {', '.join(named)}{more}" if named else ""
        return f"{self.rule.what}{places}. {self.rule.fix[0].upper()}{self.rule.fix[1:]}"


class Findings:
    """The findings in a file by kind, in the order of finding.

    Args:
        file: path of the file, for messages.
    """

    def __init__(self, file: str) -> None:
        self.file = file
        self._found: dict[str, Finding] = {}

    def add(
        self,
        code: str,
        where: str = "",
        number: Optional[int] = None,
        id: Any = None,
        detail: str = "",
    ) -> None:
        """Note a finding.

        Args:
            code: key of :data:`RULES`.
            where: list of the file that the entry is in; "" for the file itself.
            number: position in that list, from 0.
            id: of the entry.
            detail: what this entry has.
        """
        finding = self._found.setdefault(code, Finding(code))
        finding.count += 1
        if len(finding.places) < KEPT:
            name = where if number is None else f"{where}[{number}]"
            finding.places.append(Place(name, id, detail))

    def __iter__(self) -> Iterator[Finding]:
        return iter(self._found.values())

    def __contains__(self, code: str) -> bool:
        return code in self._found

    @property
    def errors(self) -> list[Finding]:
        """Findings that stop the use of the labels."""
        return [finding for finding in self if finding.rule.severity == ERROR]

    @property
    def warnings(self) -> list[Finding]:
        """The others."""
        return [finding for finding in self if finding.rule.severity == WARNING]

    def table(self) -> str:
        """Return all findings as a table: severity, code, count, first places, what is done."""
        rows = [
            {
                "severity": finding.rule.severity,
                "finding": finding.code,
                "count": finding.count,
                "what": finding.rule.what,
                "first": "\n".join(filter(None, map(str, finding.places[:SHOWN]))),
                "mend, or what is done": finding.rule.fix,
            }
            for finding in [*self.errors, *self.warnings]
        ]
        widths = [None, None, None, 28, 48, 44]
        return tabulate(rows, headers="keys", tablefmt="grid", maxcolwidths=widths)

    def as_dict(self) -> dict[str, Any]:
        """Return the machine-readable report."""
        return {
            "file": self.file,
            "errors": sum(finding.count for finding in self.errors),
            "warnings": sum(finding.count for finding in self.warnings),
            "findings": [
                {
                    "code": finding.code,
                    "severity": finding.rule.severity,
                    "count": finding.count,
                    "what": finding.rule.what,
                    "fix": finding.rule.fix,
                    "places": [vars(place) for place in finding.places],
                }
                for finding in self
            ],
        }
