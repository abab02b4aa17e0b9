"""Small data under the names of the data sets that the shipped configs are written for."""

from __future__ import annotations

import copy
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog
from PIL import Image

# Pictures, boxes, masks, label maps, disparity, neighbours and intrinsics: all that any config asks
# for. Pictures of the tests are others, which relabelling insists on.
TRAIN, TEST = "streets_mini_clear_sequences", "streets_mini_clear_val"
PATCHES = 400


def stand_in(name: str, folder: Path, monkeypatch: Any) -> None:
    """Put small data in the place of a registered data set, until the test ends.

    Classes keep the names and the number of the real data set.

    Args:
        name: of the data set.
        folder: for pictures that are made here.
        monkeypatch: pytest's.
    """
    metadata = MetadataCatalog.get(name)
    classes = len(metadata.get("thing_classes", ())) or 1
    if "cifar" in name:
        records = _patches(folder / name, classes)
    else:
        real = TEST if name.split("_separated")[0].endswith(("val", "test")) else TRAIN
        end = "_separated" if name.endswith("separated") else ""
        records = copy.deepcopy(_real(real + end))
        for annotation in (a for record in records for a in record["annotations"]):
            annotation["category_id"] %= classes
            if metadata.get("mask_format") != "bitmask":
                annotation["segmentation"] = [_outline(*annotation["bbox"])]
        if "json_file" in vars(metadata):
            path = folder / f"{name}.json"
            path.write_text(json.dumps(_coco_json(records, metadata)))
            monkeypatch.setitem(vars(metadata), "json_file", str(path))
    monkeypatch.setitem(DatasetCatalog.data, name, lambda: copy.deepcopy(records))


def _coco_json(records: list[dict], metadata: Any) -> dict:
    """The annotation file of records; their classes are places in its list of classes."""
    ids = metadata.get("thing_dataset_id_to_contiguous_id") or {}
    names = {place: number for number, place in ids.items()}
    images = [
        {"id": r["image_id"], **{k: r[k] for k in ("file_name", "height", "width")}}
        for r in records
    ]
    annotations = []
    for record in records:
        for one in record["annotations"]:
            number = names.get(one["category_id"], one["category_id"])
            kept = {k: one[k] for k in ("bbox", "iscrowd", "segmentation")}
            kept["id"] = len(annotations) + 1
            annotations.append({**kept, "image_id": record["image_id"], "category_id": number})
    classes = [
        {"id": names.get(place, place), "name": name}
        for place, name in enumerate(metadata.thing_classes)
    ]
    return {"images": images, "annotations": annotations, "categories": classes}


def _outline(x: float, y: float, width: float, height: float) -> list[float]:
    """The polygon of a box."""
    return [x, y, x + width, y, x + width, y + height, x, y + height]


def _patches(folder: Path, classes: int) -> list[dict]:
    """Pictures of 32 x 32 pixels with a class each."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    records = []
    for index in range(PATCHES):
        path = folder / f"{index}.png"
        Image.fromarray(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(path)
        one = {"file_name": str(path), "height": 32, "width": 32, "image_id": index}
        records.append({**one, "class_id": index % classes})
    return records


@cache
def _real(name: str) -> list[dict]:
    """Records before anything stands in their place."""
    return DatasetCatalog.get(name)
