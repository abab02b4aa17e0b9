"""BCCD blood cells: 364 pictures, 4,886 boxes, 3 classes (https://github.com/Shenggan/BCCD_Dataset)."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

from detectron2.data.datasets import load_coco_json

from ...files import cache_root
from .catalog import register_dataset, set_paths
from .paths import build_once, fingerprint, require_layout

SPLITS = ("train", "val", "trainval", "test")
CLASSES = ["WBC", "RBC", "Platelets"]
LAYOUT = """
bccd/
  images/BloodImage_*.jpg
  instances.json             COCO format, all pictures
  splits/{train,val,trainval,test}.txt   one picture name a line, without extension
"""


def load_bccd(split: str) -> list[dict]:
    """Load one split as detectron2 data set dicts (boxes, no masks).

    Raises:
        FileNotFoundError: data missing.
        ValueError: the split names a picture that the JSON does not have.
    """
    name = f"bccd_{split}"
    split_file = f"splits/{split}.txt"
    root = require_layout(name, "bccd", ["images", "instances.json", split_file], LAYOUT)
    source = [root / "instances.json", root / split_file]
    target = cache_root() / "bccd" / f"{split}-{fingerprint(source)}"
    json_file = build_once(target, partial(_write_split, *source)) / "instances.json"
    set_paths(name, json_file=str(json_file), image_root=str(root / "images"))
    return load_coco_json(str(json_file), str(root / "images"), name)


def _write_split(instances: Path, split_file: Path, folder: Path) -> None:
    """Write the part of ``instances`` that belongs to a split (evaluators need it as a file)."""
    data = json.loads(instances.read_text())
    stems = set(split_file.read_text().split())
    images = [image for image in data["images"] if Path(image["file_name"]).stem in stems]
    absent = stems - {Path(image["file_name"]).stem for image in images}
    if absent:
        raise ValueError(f"{split_file} lists '{min(absent)}', which is not in {instances}")
    ids = {image["id"] for image in images}
    annotations = [a for a in data["annotations"] if a["image_id"] in ids]
    part = {"info": {}, "licenses": [], "categories": data["categories"]}
    part.update(images=images, annotations=annotations)
    (folder / "instances.json").write_text(json.dumps(part))


def register() -> None:
    """Register ``bccd_{train,val,trainval,test}``."""
    for split in SPLITS:
        register_dataset(
            f"bccd_{split}",
            partial(load_bccd, split),
            thing_classes=CLASSES,
            evaluator_type="coco",
            mask_format="none",
        )
