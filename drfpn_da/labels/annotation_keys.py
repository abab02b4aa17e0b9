"""Keys of the annotations of a data set: ids, or image and place."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from detectron2.data import MetadataCatalog
from detectron2.utils.file_io import PathManager

from .identity import AnnotationId

Record = Mapping[str, Any]


def annotation_ids(name: str, records: Sequence[Record]) -> list[list[AnnotationId]]:
    """Return the ids of each record's annotations, no two of which are written alike.

    Ids are those of the records ("id") or of the COCO file in the metadata; else
    "<picture>#<place>", see :func:`picture_names`.

    Args:
        name: of the data set.
        records: in detectron2's form.

    Raises:
        ValueError: ids repeat, or records do not come from the file in the metadata.
    """
    annotated = [a for record in records for a in record.get("annotations", [])]
    file = MetadataCatalog.get(name).get("json_file", None)
    ids: list[list[AnnotationId]]
    if all("id" in annotation for annotation in annotated):
        ids = [[plain(a["id"]) for a in record.get("annotations", [])] for record in records]
    elif file:
        ids = _ids_of_file(name, file, records)
    else:
        ids = [
            [f"{picture}#{place}" for place in range(len(record.get("annotations", [])))]
            for picture, record in zip(picture_names(records), records)
        ]
    _refuse_repeated(name, records, ids)
    return ids


def picture_names(records: Sequence[Record]) -> list[str]:
    """Return a name of each record's picture that does not depend on where the data set lies.

    Names of files if these tell the pictures apart, else paths below the folder that all share.
    """
    paths = [os.path.abspath(record["file_name"]) for record in records]
    names = [os.path.basename(path) for path in paths]
    if len(set(names)) == len(set(paths)):
        return names
    root = os.path.commonpath([os.path.dirname(path) for path in paths])
    return [os.path.relpath(path, root).replace(os.sep, "/") for path in paths]


def plain(value: Any) -> Any:
    """Return a number of numpy as one of Python, which JSON can hold; all else as it is."""
    return value.item() if isinstance(value, np.generic) else value


def _refuse_repeated(
    name: str, records: Sequence[Record], ids: Sequence[Sequence[AnnotationId]]
) -> None:
    pictures: dict[str, str] = {}  # by text, since tables and command lines know ids as text
    for record, record_ids in zip(records, ids):
        for identifier in map(str, record_ids):
            if identifier in pictures:
                raise ValueError(
                    f"dataset '{name}': two annotations have the id '{identifier}', one of picture "
                    f"{pictures[identifier]}, one of {record['file_name']}, but corrections are "
                    'kept by id: give every annotation of the data set an "id" of its own (or '
                    "none, if every picture is in one record only)"
                )
            pictures[identifier] = record["file_name"]


def _ids_of_file(name: str, file: str, records: Sequence[Record]) -> list[list[AnnotationId]]:
    with PathManager.open(file) as stream:
        by_image: dict[Any, list[dict]] = defaultdict(list)
        for annotation in json.load(stream)["annotations"]:
            by_image[annotation["image_id"]].append(annotation)
    classes = MetadataCatalog.get(name).get("thing_dataset_id_to_contiguous_id", None) or {}
    found = []
    for record in records:
        image = record.get("image_id")
        ids = _match(record.get("annotations", []), by_image.get(image, []), classes)
        if ids is None:
            raise ValueError(
                f"dataset '{name}': the annotations of picture {image} cannot be told among those "
                f"of {file}, which its metadata names as json_file; register the set with "
                'extra_annotation_keys=["id"], or correct json_file'
            )
        found.append(ids)
    return found


def _match(
    annotations: Sequence[Record], candidates: Iterable[Record], classes: Mapping[int, int]
) -> list[AnnotationId] | None:
    """Find a picture's annotations among the file's, of which some may have been left out.

    Args:
        annotations: of the record.
        candidates: of the file, in its order, which records keep.
        classes: from ids in the file to classes.

    Returns:
        The ids; None if one is not there, or if it may be any of several.
    """
    by_box: dict[Any, list[Record]] = defaultdict(list)
    for candidate in candidates:
        by_box[_box(candidate)].append(candidate)
    groups: dict[Any, list[int]] = defaultdict(list)
    for place, annotation in enumerate(annotations):
        groups[_box(annotation)].append(place)
    ids: dict[int, AnnotationId] = {}
    for box, places in groups.items():
        alike = [annotations[place] for place in places]
        for place, identifier in zip(places, _tell_apart(alike, by_box[box], classes)):
            ids[place] = identifier
    if len(ids) < len(annotations):
        return None
    return [ids[place] for place in range(len(annotations))]


def _tell_apart(
    annotations: Sequence[Record], candidates: Sequence[Record], classes: Mapping[int, int]
) -> list[AnnotationId]:
    """Return the ids of annotations with one box; empty if the candidates may be others."""
    if len(candidates) == len(annotations):
        return [candidate["id"] for candidate in candidates]
    # Those that detectron2 leaves out have to go, or else those of another outline or class.
    kept = [candidate for candidate in candidates if _outline(candidate) != []]
    if len(kept) == len(annotations) and all(
        _same_object(a, c, classes) for a, c in zip(annotations, kept)
    ):
        return [candidate["id"] for candidate in kept]
    found = [tuple(c["id"] for c in candidates if _same_object(a, c, classes)) for a in annotations]
    if any(len(ids) != found.count(ids) for ids in found):
        return []
    return [ids[found[:place].count(ids)] for place, ids in enumerate(found)]


def _same_object(annotation: Record, candidate: Record, classes: Mapping[int, int]) -> bool:
    outlines = _outline(annotation), _outline(candidate)
    given = candidate["category_id"]
    return (None in outlines or outlines[0] == outlines[1]) and (
        annotation["category_id"] == classes.get(given, given)
    )


def _box(annotation: Record) -> tuple[Any, ...]:
    return (*annotation.get("bbox", ()), annotation.get("iscrowd", 0))


def _outline(annotation: Record) -> list | None:
    """Return the polygons that detectron2 keeps; None of masks in another form, or without."""
    polygons = annotation.get("segmentation")
    if not polygons or not isinstance(polygons, list):
        return None
    return [list(p) for p in polygons if len(p) % 2 == 0 and len(p) >= 6]
