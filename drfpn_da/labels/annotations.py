"""Every annotation of the training data by one running number, and what identifies its file."""

from __future__ import annotations

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Union

import numpy as np
from detectron2.data import MetadataCatalog
from detectron2.structures import BoxMode
from detectron2.utils.file_io import PathManager

#: Field of an annotation dict that holds its running number.
ANNOTATION_INDEX = "annotation_index"
AnnotationId = Union[int, str]


@dataclass(frozen=True)
class DatasetIdentity:
    """A data set as it was when its annotations were numbered.

    Attributes:
        name: registered name.
        file: annotation file; "" for a data set that has none.
        sha256: of that file, or of the records.
        classes: class names in the model's order.
        annotations: how many there are.
    """

    name: str
    file: str
    sha256: str
    classes: tuple[str, ...]
    annotations: int


@dataclass(frozen=True)
class AnnotationIndex:
    """What is known of N annotations, in the order of their running numbers.

    Attributes:
        datasets: the data sets, in order; all with the same classes.
        dataset: (N,) number of the data set.
        annotation_ids: id in the annotation file, or "<file name>#<place>" without such a file.
        image_ids: id of the picture.
        file_names: of the picture.
        classes: (N,) int64, given class.
        boxes: (N, 4) as absolute x, y, width, height.
        crowd: (N,) whether it is a crowd, which is never trained on.
    """

    datasets: tuple[DatasetIdentity, ...]
    dataset: np.ndarray
    annotation_ids: tuple[AnnotationId, ...]
    image_ids: tuple[Any, ...]
    file_names: tuple[str, ...]
    classes: np.ndarray
    boxes: np.ndarray
    crowd: np.ndarray

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names in the model's order."""
        return self.datasets[0].classes

    def key(self, index: int) -> tuple[str, AnnotationId]:
        """Return (data set, annotation id) of a running number."""
        return self.datasets[self.dataset[index]].name, self.annotation_ids[index]

    def find(self, key: tuple[str, AnnotationId]) -> int:
        """Return the running number of (data set, annotation id).

        Raises:
            ValueError: the training data do not have it.
        """
        if key not in self._places:
            raise ValueError(
                f"annotation {key[1]} of '{key[0]}' is not among the training data; train with the "
                "same DATASETS.TRAIN and filters as when its journal was written"
            )
        return self._places[key]

    @cached_property
    def _places(self) -> dict[tuple[str, AnnotationId], int]:
        return {self.key(i): i for i in range(len(self))}


def index_annotations(datasets: Sequence[tuple[str, list[dict[str, Any]]]]) -> AnnotationIndex:
    """Number the annotations of data sets; every annotation dict gets its ``annotation_index``.

    Ids are those of the records ("id") or of the COCO file in the metadata, whose annotations
    detectron2 keeps in order; else the place in the picture.

    Args:
        datasets: (registered name, its records in detectron2's form), in the order of training.

    Raises:
        ValueError: no annotations, repeated class names, different classes, or records that do not
            come from the file in the metadata.
    """
    identities: list[DatasetIdentity] = []
    rows: list[tuple[int, AnnotationId, Any, str, int, list[float], bool]] = []
    for number, (name, records) in enumerate(datasets):
        ids = _annotation_ids(name, records)
        first = len(rows)
        for record, record_ids in zip(records, ids):
            for annotation, identifier in zip(record.get("annotations", []), record_ids):
                annotation[ANNOTATION_INDEX] = len(rows)
                box = BoxMode.convert(
                    list(map(float, annotation["bbox"])), annotation["bbox_mode"], BoxMode.XYWH_ABS
                )
                crowd = bool(annotation.get("iscrowd", 0))
                image = record.get("image_id", record["file_name"])
                label = int(annotation["category_id"])
                rows.append((number, identifier, image, record["file_name"], label, box, crowd))
        identities.append(_identify(name, records, len(rows) - first))
    if not rows:
        names = ", ".join(name for name, _ in datasets)
        raise ValueError(f"DATASETS.TRAIN ({names}) has no annotations to number")
    for other in identities[1:]:
        if other.classes != identities[0].classes:
            raise ValueError(
                f"datasets '{identities[0].name}' and '{other.name}' have different classes"
            )
    columns = list(zip(*rows))
    return AnnotationIndex(
        tuple(identities),
        np.array(columns[0], dtype=np.int64),
        columns[1],
        columns[2],
        columns[3],
        np.array(columns[4], dtype=np.int64),
        np.array(columns[5], dtype=np.float64),
        np.array(columns[6], dtype=bool),
    )


def file_sha256(path: str | os.PathLike) -> str:
    """Return the SHA-256 of a file as hexadecimal digits."""
    digest = hashlib.sha256()
    with PathManager.open(str(path), "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def _identify(name: str, records: list[dict], count: int) -> DatasetIdentity:
    meta = MetadataCatalog.get(name)
    classes = tuple(meta.get("thing_classes", None) or ())
    if not classes:
        raise ValueError(f"dataset '{name}' has no class names (thing_classes in its metadata)")
    repeated = sorted({c for c in classes if classes.count(c) > 1})
    if repeated:
        raise ValueError(
            f"dataset '{name}' has two classes named '{repeated[0]}'; a journal of corrections "
            "tells classes by name: rename one"
        )
    file = meta.get("json_file", None) or ""
    if file:
        return DatasetIdentity(name, os.path.abspath(file), file_sha256(file), classes, count)
    digest = hashlib.sha256()
    for record in records:
        boxes = [[a["category_id"], *map(float, a["bbox"])] for a in record.get("annotations", [])]
        digest.update(json.dumps([os.path.basename(record["file_name"]), boxes]).encode())
    return DatasetIdentity(name, "", digest.hexdigest(), classes, count)


def _annotation_ids(name: str, records: list[dict]) -> list[list[AnnotationId]]:
    """Return the ids of each record's annotations."""
    annotated = [a for record in records for a in record.get("annotations", [])]
    if all("id" in annotation for annotation in annotated):
        return [[a["id"] for a in record.get("annotations", [])] for record in records]
    file = MetadataCatalog.get(name).get("json_file", None)
    if not file:
        return [
            [
                f"{os.path.basename(record['file_name'])}#{place}"
                for place in range(len(record.get("annotations", [])))
            ]
            for record in records
        ]
    with PathManager.open(file) as stream:
        by_image: dict[Any, list[dict]] = defaultdict(list)
        for annotation in json.load(stream)["annotations"]:
            by_image[annotation["image_id"]].append(annotation)
    return [_match(name, file, record, by_image[record["image_id"]]) for record in records]


def _match(name: str, file: str, record: dict, candidates: list[dict]) -> list[AnnotationId]:
    """Find a record's annotations among the file's, in order; detectron2 may have left some out."""
    ids, rest = [], iter(candidates)
    for annotation in record.get("annotations", []):
        found = next(
            (
                candidate["id"]
                for candidate in rest
                if list(candidate["bbox"]) == list(annotation["bbox"])
                and candidate.get("iscrowd", 0) == annotation.get("iscrowd", 0)
            ),
            None,
        )
        if found is None:
            raise ValueError(
                f"dataset '{name}': an annotation of picture {record['image_id']} is not in "
                f"{file}, which its metadata names as json_file; register the set with "
                'extra_annotation_keys=["id"], or correct json_file'
            )
        ids.append(found)
    return ids
