"""Every annotation of the training data by one running number, and what identifies its file."""

from __future__ import annotations

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from detectron2.data import MetadataCatalog
from detectron2.structures import BoxMode

from .annotation_keys import annotation_ids, picture_names, plain
from .identity import AnnotationId, DatasetIdentity, file_sha256

#: Field of an annotation dict that holds its running number.
ANNOTATION_INDEX = "annotation_index"
# As the fields of AnnotationIndex after ``datasets``.
Row = tuple[int, AnnotationId, Any, str, int, list[float], bool]


@dataclass(frozen=True)
class AnnotationIndex:
    """Classes, ids and files of N annotations, in the order of their running numbers.

    Of a data set that is named twice the copies come last, after all annotations that differ.

    Attributes:
        datasets: the data sets, in order; all with the same classes.
        dataset: (N,) number of the data set.
        annotation_ids: id in the annotation file, or "<picture>#<place>" without such a file.
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

    @property
    def distinct(self) -> int:
        """How many annotations there are without copies; these have the first numbers."""
        return len(self._places)

    def find(self, key: tuple[str, AnnotationId]) -> list[int]:
        """Return the running numbers of (data set, annotation id): its own and its copies'.

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
    def _places(self) -> dict[tuple[str, AnnotationId], list[int]]:
        places = defaultdict(list)
        for i in range(len(self)):
            places[self.key(i)].append(i)
        return dict(places)


def index_annotations(datasets: Sequence[tuple[str, list[dict[str, Any]]]]) -> AnnotationIndex:
    """Number the annotations of data sets; every annotation dict gets its ``annotation_index``.

    Ids are those of :func:`drfpn_da.labels.annotation_keys.annotation_ids`. The records of a data
    set that is named again get the numbers that it had the first time.

    Args:
        datasets: (registered name, its records in detectron2's form), in the order of training.

    Raises:
        ValueError: no annotations, repeated ids or class names, different classes, records that do
            not come from the file in the metadata, or a data set that is another one when it is
            loaded again.
    """
    identities: dict[str, DatasetIdentity] = {}
    order: list[DatasetIdentity] = []
    rows: list[Row] = []
    copies: list[Row] = []
    places: dict[tuple[str, AnnotationId], int] = {}
    for number, (name, records) in enumerate(datasets):
        ids = annotation_ids(name, records)
        identity = _identify(name, records, sum(map(len, ids)))
        again = name in identities
        if identities.setdefault(name, identity) != identity:
            raise ValueError(
                f"dataset '{name}' is named twice and has other annotations the second time: name "
                "it once, or make its loader return the same records"
            )
        order.append(identity)
        for record, record_ids in zip(records, ids):
            for annotation, identifier in zip(record.get("annotations", []), record_ids):
                if not again:
                    places[name, identifier] = len(rows)
                (copies if again else rows).append(_row(number, identifier, record, annotation))
                annotation[ANNOTATION_INDEX] = places[name, identifier]
    if not rows:
        names = ", ".join(name for name, _ in datasets)
        raise ValueError(f"DATASETS.TRAIN ({names}) has no annotations to number")
    for other in order[1:]:
        if other.classes != order[0].classes:
            raise ValueError(
                f"datasets '{order[0].name}' and '{other.name}' have different classes"
            )
    columns = list(zip(*rows, *copies))
    return AnnotationIndex(
        tuple(order),
        np.array(columns[0], dtype=np.int64),
        columns[1],
        columns[2],
        columns[3],
        np.array(columns[4], dtype=np.int64),
        np.array(columns[5], dtype=np.float64),
        np.array(columns[6], dtype=bool),
    )


def _row(number: int, identifier: AnnotationId, record: dict, annotation: dict) -> Row:
    box = list(map(float, annotation["bbox"]))
    return (
        number,
        identifier,
        plain(record.get("image_id", record["file_name"])),
        record["file_name"],
        int(annotation["category_id"]),
        BoxMode.convert(box, annotation["bbox_mode"], BoxMode.XYWH_ABS),
        bool(annotation.get("iscrowd", 0)),
    )


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
    for picture, record in zip(picture_names(records), records):
        boxes = [[a["category_id"], *map(float, a["bbox"])] for a in record.get("annotations", [])]
        digest.update(json.dumps([picture, boxes]).encode())
    return DatasetIdentity(name, "", digest.hexdigest(), classes, count)
