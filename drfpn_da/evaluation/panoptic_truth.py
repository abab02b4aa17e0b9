"""Panoptic ground truth of a dataset, from whichever form its records have."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pycocotools.mask as mask_util
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets.coco_panoptic import load_coco_panoptic_json

from drfpn_da.compat import load_label_map

from .panoptic_quality import VOID, Category, Segment

Record = dict[str, Any]
TruthMap = tuple[np.ndarray, list[Segment]]


class PanopticTruth:
    """Ground truth by image id, and the categories that count.

    Read from panoptic PNG files (``pan_seg_file_name`` in the records, or ``panoptic_json`` and
    ``panoptic_root`` in the metadata), else composed: the instance masks of ``annotations`` laid
    over the stuff of ``sem_seg_file_name``. In a composed map a semantic class that has the name
    of a thing class, or is called "things", is void outside the instances.
    """

    def __init__(self, dataset_name: str) -> None:
        """Read the dataset's records.

        Raises:
            ValueError: if the records have neither form.
        """
        self._metadata = MetadataCatalog.get(dataset_name)
        records = DatasetCatalog.get(dataset_name)
        if "pan_seg_file_name" not in records[0] and self._metadata.get("panoptic_json"):
            records = load_coco_panoptic_json(
                self._metadata.panoptic_json,
                os.path.dirname(records[0]["file_name"]),
                self._metadata.panoptic_root,
                self._metadata.as_dict(),
            )
        self._records = {record["image_id"]: record for record in records}
        self._read = self._choose_reader(dataset_name, records[0])

    def __getitem__(self, image_id: Any) -> TruthMap:
        """Return the (H, W) map of segment ids and its segments."""
        return self._read(self._records[image_id])

    def _choose_reader(self, dataset_name: str, record: Record) -> Callable[[Record], TruthMap]:
        metadata = self._metadata
        if "pan_seg_file_name" in record:
            self._things = set(metadata.thing_dataset_id_to_contiguous_id.values())
            self._stuff = set(metadata.stuff_dataset_id_to_contiguous_id.values())
            if "things" not in metadata.stuff_classes:
                # One numbering for both. With "things" as a stuff class, stuff is numbered anew.
                self._stuff -= self._things
            return self._read_png
        if "sem_seg_file_name" in record and "annotations" in record:
            things = metadata.thing_classes
            self._things = set(range(len(things)))
            self._stuff = {
                i for i, n in enumerate(metadata.stuff_classes) if n != "things" and n not in things
            }
            return self._compose
        raise ValueError(
            f"Dataset '{dataset_name}' has no panoptic ground truth: its records need "
            "pan_seg_file_name and segments_info, or sem_seg_file_name and annotations with masks."
        )

    def is_category(self, category: Category) -> bool:
        """Whether a predicted category is one that counts."""
        is_thing, index = category
        return index in (self._things if is_thing else self._stuff)

    def is_thing(self, contiguous_id: int) -> bool:
        """Whether an id of a joint numbering of things and stuff is a thing."""
        return contiguous_id in self._things

    def _read_png(self, record: Record) -> TruthMap:
        # Three bytes of the id, low byte first in the red channel.
        rgb = load_label_map(record["pan_seg_file_name"], dtype=np.int64)
        ids = rgb[..., 0] + 256 * rgb[..., 1] + 256**2 * rgb[..., 2] if rgb.ndim == 3 else rgb
        segments = [
            Segment(
                info["id"],
                (info.get("isthing", self.is_thing(info["category_id"])), info["category_id"]),
                bool(info.get("iscrowd", 0)),
            )
            for info in record["segments_info"]
        ]
        return ids, segments

    def _compose(self, record: Record) -> TruthMap:
        labels = load_label_map(record["sem_seg_file_name"], dtype=np.int64)
        ids = np.full(labels.shape, VOID, dtype=np.int64)
        segments: list[Segment] = []
        for label in sorted(self._stuff & set(np.unique(labels).tolist())):
            segments.append(Segment(len(segments) + 1, (False, label)))
            ids[labels == label] = segments[-1].id
        for annotation in record["annotations"]:
            crowd = bool(annotation.get("iscrowd", 0))
            category = (True, annotation["category_id"])
            segments.append(Segment(len(segments) + 1, category, crowd))
            ids[_mask_of(annotation["segmentation"], *labels.shape)] = segments[-1].id
        return ids, segments


def _mask_of(segmentation: Any, height: int, width: int) -> np.ndarray:
    """Decode polygons, uncompressed or compressed run lengths, or a bitmap, to (H, W) bool."""
    if isinstance(segmentation, np.ndarray):
        return segmentation.astype(bool)
    if isinstance(segmentation, list):
        segmentation = mask_util.merge(mask_util.frPyObjects(segmentation, height, width))
    elif isinstance(segmentation["counts"], list):
        segmentation = mask_util.frPyObjects(segmentation, height, width)
    return mask_util.decode(segmentation).astype(bool)
