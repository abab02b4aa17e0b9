"""COCO128: the first pictures of COCO 2017 train and val, with instances and panoptic labels.

The records are detectron2's "separated" panoptic format: instance annotations, and semantic labels
in which id 0 stands for all things and ids 1-53 are the stuff classes.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
from detectron2.data.datasets import load_coco_json
from detectron2.data.datasets.builtin_meta import _get_builtin_metadata
from PIL import Image

from ...files import cache_root
from .catalog import register_dataset, set_paths
from .paths import build_once, fingerprint, require_layout

SPLITS = ("train", "val")
IGNORE_LABEL = 255
LAYOUT = """
coco128/
  {train,val}2017/*.jpg
  instances_{train,val}2017_100.json
  panoptic_{train,val}2017.json
  panoptic_{train,val}2017/*.png
"""


def load_coco128(split: str) -> list[dict]:
    """Load one split: boxes and RLE masks of 80 classes, and semantic labels.

    Raises:
        FileNotFoundError: data missing.
    """
    name = f"coco128_{split}"
    images, panoptic = f"{split}2017", f"panoptic_{split}2017"
    instances = f"instances_{split}2017_100.json"
    required = [images, instances, panoptic, f"{panoptic}.json"]
    root = require_layout(name, "coco128", required, LAYOUT)
    json_file, panoptic_json = root / instances, root / f"{panoptic}.json"
    target = cache_root() / "coco128" / f"{split}-{fingerprint([panoptic_json])}"
    stuff = build_once(target, partial(_write_stuff, panoptic_json, root / panoptic))
    set_paths(
        name,
        json_file=str(json_file),
        image_root=str(root / images),
        panoptic_json=str(panoptic_json),
        panoptic_root=str(root / panoptic),
        sem_seg_root=str(stuff),
    )
    records = load_coco_json(str(json_file), str(root / images), name)
    for record in records:
        record["sem_seg_file_name"] = str(stuff / f"{Path(record['file_name']).stem}.png")
    return records


def _write_stuff(panoptic_json: Path, panoptic_root: Path, folder: Path) -> None:
    """Write semantic labels from the panoptic ones (things 0, stuff 1-53, nothing 255)."""
    meta = _get_builtin_metadata("coco_panoptic_separated")
    stuff_ids = meta["stuff_dataset_id_to_contiguous_id"]
    things = meta["thing_dataset_id_to_contiguous_id"]
    for annotation in json.loads(panoptic_json.read_text())["annotations"]:
        rgb = np.asarray(Image.open(panoptic_root / annotation["file_name"]), dtype=np.int64)
        segments = rgb @ (1, 256, 256**2)
        label = np.full(segments.shape, IGNORE_LABEL, dtype=np.uint8)
        for segment in annotation["segments_info"]:
            category = segment["category_id"]
            label[segments == segment["id"]] = 0 if category in things else stuff_ids[category]
        Image.fromarray(label).save(folder / annotation["file_name"])


def register() -> None:
    """Register ``coco128_{train,val}``."""
    for split in SPLITS:
        register_dataset(
            f"coco128_{split}",
            partial(load_coco128, split),
            evaluator_type="coco",
            evaluator_types=["coco_panoptic_seg"],
            ignore_label=IGNORE_LABEL,
            mask_format="bitmask",
            **_get_builtin_metadata("coco_panoptic_separated"),
        )
