"""Checks and counts of the annotations of a COCO file."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ...functional.slenderness import is_polygon
from .entries import Sizes, check_ids, is_number
from .findings import Findings

NUMBERS = frozenset({int, float})
#: Pixels by which a box may reach beyond the picture without a word: labels are often rounded up.
OVERHANG = 1.0


@dataclass
class LabelCounts:
    """Counts of the annotations of a file; crowds are not trained on.

    Attributes:
        file: path of the file.
        annotations: all.
        crowds: with ``iscrowd`` 1.
        left_out: ids of those whose box has no part inside the picture.
        polygons: single objects with polygons.
        rles: single objects with run-length encoded masks.
        crowd_masks: crowds with a mask.
        bare: ids of single objects without a mask.
        bare_crowds: ids of crowds without one.
    """

    file: str = ""
    annotations: int = 0
    crowds: int = 0
    left_out: set[Any] = field(default_factory=set)
    polygons: int = 0
    rles: int = 0
    crowd_masks: int = 0
    bare: list[Any] = field(default_factory=list)
    bare_crowds: list[Any] = field(default_factory=list)

    @property
    def usable(self) -> int:
        """Annotations that can be trained on."""
        return self.annotations - self.crowds - len(self.left_out)

    @property
    def mask_format(self) -> str:
        """Return "bitmask" if a single object needs it, "polygon" or "none"."""
        if self.rles:
            return "bitmask"
        if self.polygons:
            return "polygon"
        return "bitmask" if self.crowd_masks else "none"


class AnnotationCheck:
    """Checks annotations one by one.

    Args:
        sizes: of the pictures.
        classes: ids of the classes.
        findings: gets what is found.
    """

    def __init__(self, sizes: Sizes, classes: set[Any], findings: Findings) -> None:
        self._sizes, self._classes, self._findings = sizes, classes, findings
        self.counts = LabelCounts(findings.file)
        self._by_text: dict[str, dict[str, Any]] = {}

    def __call__(self, annotations: list[Any]) -> LabelCounts:
        """Check all; return the counts."""
        codes = ("annotation_id", "annotation_id_repeated")
        check_ids(annotations, "annotations", codes, self._findings)
        for number, annotation in enumerate(annotations):
            if not isinstance(annotation, dict):
                shown = repr(annotation)[:40]
                self._findings.add("annotation_malformed", "annotations", number, detail=shown)
                continue
            self._check(annotation, number)
        counts = self.counts
        counts.annotations = len(annotations)
        if not annotations:
            self._findings.add("no_annotation")
        elif counts.crowds == counts.annotations:
            self._findings.add("all_crowds", detail=f"all {counts.crowds}")
        return counts

    def _check(self, annotation: dict[str, Any], number: int) -> None:
        identifier = annotation.get("id")

        def add(code: str, detail: str = "") -> None:
            self._findings.add(code, "annotations", number, identifier, detail)

        image = annotation.get("image_id")
        known = _known(image, self._sizes)
        if not known:
            add("annotation_image", self._unknown(annotation, "image_id", "images"))
        if not _known(annotation.get("category_id"), self._classes):
            add("annotation_class", self._unknown(annotation, "category_id", "categories"))
        if annotation.get("ignore"):
            add("ignore_set", f"ignore {annotation['ignore']!r}")
        size = self._sizes[image] if known else None
        crowd = _crowd(annotation, add)
        _area(annotation, add)
        if _empty(annotation.get("bbox"), "bbox" in annotation, size, add):
            self.counts.left_out.add(identifier)
        self._count(annotation, crowd, _mask(annotation.get("segmentation"), size, add))

    def _unknown(self, annotation: dict[str, Any], field: str, key: str) -> str:
        """Say what is wrong with a reference, above all if only its type is."""
        value = annotation.get(field)
        if value is None:
            return f"has no {field}"
        if key not in self._by_text:
            known = self._sizes if key == "images" else self._classes
            self._by_text[key] = {str(identifier): identifier for identifier in known}
        here = self._by_text[key].get(str(value))
        if here is None or type(here) is type(value):
            return f"{field} {value!r} is not among the {key}"
        mine = "a text" if isinstance(value, str) else f"a {type(value).__name__}"
        return f"{field} {value!r} is {mine}, the ids of {key} are {_KINDS[type(here)]} ({here!r})"

    def _count(self, annotation: dict[str, Any], crowd: bool, mask: str) -> None:
        counts = self.counts
        if crowd:
            counts.crowds += 1
            # A box of no size that is also a crowd is left out once.
            counts.left_out.discard(annotation.get("id"))
            if mask:
                counts.crowd_masks += 1
            else:
                counts.bare_crowds.append(annotation.get("id"))
        elif mask == "rle":
            counts.rles += 1
        elif mask == "polygon":
            counts.polygons += 1
        else:
            counts.bare.append(annotation.get("id"))


Add = Callable[..., None]
_KINDS: dict[type, str] = {int: "numbers", str: "texts"}


def _known(identifier: Any, known: Any) -> bool:
    return type(identifier) in (int, str) and identifier in known


def _crowd(annotation: dict[str, Any], add: Add) -> bool:
    value = annotation.get("iscrowd")
    if value is None:
        add("crowd_absent")
    elif value not in (0, 1):
        add("crowd_malformed", f"iscrowd {value!r}")
    return value == 1


def _area(annotation: dict[str, Any], add: Add) -> None:
    value = annotation.get("area")
    if value is None:
        add("area_absent")
    elif not is_number(value) or value < 0:
        add("area_malformed", f"area {value!r}")


def _empty(box: Any, there: bool, size: tuple[float, float] | None, add: Add) -> bool:
    """Check a box; return whether nothing of it lies inside the picture."""
    if not there:
        add("bbox_absent")
        return False
    if type(box) is not list or len(box) != 4 or not NUMBERS.issuperset(map(type, box)):
        add("bbox_malformed", f"bbox {_shown(box)}")
        return False
    if not math.isfinite(sum(box)):
        add("bbox_not_finite", f"bbox {box}")
        return False
    x, y, width, height = box
    if width <= 0 or height <= 0:
        add("bbox_no_size", f"bbox {box}")
        return True
    if size is None:
        return False
    right, bottom = x + width - size[0], y + height - size[1]
    if x >= size[0] or y >= size[1] or x + width <= 0 or y + height <= 0:
        add("bbox_outside", f"bbox {box} in {_times(size)}")
        return True
    if max(-x, -y, right, bottom) > OVERHANG:
        add("bbox_clipped", f"bbox {box} in {_times(size)}")
    return False


def _mask(value: Any, size: tuple[float, float] | None, add: Add) -> str:
    """Check a segmentation; return "rle", "polygon" or "" if there is no mask."""
    if not value:
        if value is not None and not isinstance(value, (list, dict)):
            add("polygon_malformed", f"segmentation {value!r}")
        return ""
    if type(value) is dict:
        return _rle(value, size, add)
    if type(value) is not list:
        add("polygon_malformed", f"segmentation {_shown(value)}")
        return ""
    if NUMBERS.issuperset(map(type, value)):
        add("polygon_flat", f"segmentation {_shown(value)}")
        return ""
    for part in value:
        if type(part) is not list or not NUMBERS.issuperset(map(type, part)):
            add("polygon_malformed", f"polygon {_shown(part)}")
            return ""
        if not math.isfinite(sum(part)):
            add("polygon_malformed", f"polygon {_shown(part)} has a value that is no number")
            return ""
    if not any(map(is_polygon, value)):
        add("polygon_empty", f"segmentation {_shown(value)}")
        return ""
    return "polygon"


def _rle(value: dict[str, Any], size: tuple[float, float] | None, add: Add) -> str:
    shape, runs = value.get("size"), value.get("counts")
    if (
        not isinstance(shape, list)
        or [*map(type, shape)] != [int, int]
        or not isinstance(runs, (str, list))
    ):
        add("rle_malformed", f"segmentation {_shown(value)}")
        return ""
    if size is not None and (shape[1], shape[0]) != tuple(size):
        add("rle_size", f"mask {_times((shape[1], shape[0]))}, picture {_times(size)}")
    return "rle"


def _times(size: tuple[float, float]) -> str:
    return f"{size[0]}x{size[1]}"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
