"""Generated streets: ``streets_{mini,small}_{clear,foggy}_{train,val,sequences}``.

Made on first use, below the data sets' root when that is writable, else in the cache.
"""

from __future__ import annotations

import json
import logging
import os
from functools import partial
from pathlib import Path

from detectron2.data.datasets import load_coco_json

from ...files import cache_root
from ..synthetic.classes import (
    COLORS,
    IGNORE_LABEL,
    NUM_STUFF,
    SEMANTIC_CLASSES,
    SEPARATED_CLASSES,
    THING_CLASSES,
)
from ..synthetic.spec import DOMAINS, SIZES, SPLITS, VERSION
from .catalog import register_dataset, set_paths
from .paths import build_once, datasets_root

logger = logging.getLogger(__name__)

FOLDER = "drfpn_da_streets"
# Per-picture fields of the JSON that are handed on in the data set dicts.
IMAGE_KEYS = ("intrinsics", "camera_to_world", "fog", "sequence")
ANNOTATION_KEYS = ["depth", "visible_fraction"]


def streets_folder(size: str, domain: str, split: str) -> Path:
    """Return the folder of one split, generating it if it does not exist.

    It lies in ``$DETECTRON2_DATASETS/drfpn_da_streets/<version>/`` when that root exists and can be
    written (or holds the split already), else in the cache folder. Safe with many processes.

    Raises:
        KeyError: unknown size.
        OSError: neither place can be written.
    """
    if size not in SIZES:
        raise KeyError(f"unknown size '{size}' of generated streets; known: {', '.join(SIZES)}")
    part = Path(FOLDER) / VERSION / f"{size}_{domain}_{split}"
    preferred = datasets_root() / part
    if preferred.is_dir() or _writable(datasets_root() / FOLDER):
        return build_once(preferred, partial(_generate, size, domain, split))
    return build_once(cache_root() / part, partial(_generate, size, domain, split))


def _writable(folder: Path) -> bool:
    """Tell whether a folder, or its existing parent, can be written."""
    existing = folder if folder.is_dir() else folder.parent
    return existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)


def _generate(size: str, domain: str, split: str, folder: Path) -> None:
    # Imported here: the renderer needs OpenCV, the registration does not.
    from ..synthetic import write_split

    logger.info("Generating streets '%s_%s_%s' ...", size, domain, split)
    write_split(folder, size, domain, split)


def load_streets(size: str, domain: str, split: str, separated: bool = False) -> list[dict]:
    """Load one split as detectron2 data set dicts.

    Each record has boxes and RLE masks in ``annotations``, ``sem_seg_file_name``,
    ``disparity_file_name`` (16-bit PNG), ``disparity_scale``, ``intrinsics`` (3x3),
    ``camera_to_world`` (4x4), and ``fog`` or ``sequence`` where they apply. Frames of sequences
    also have ``previous_file_name`` and ``next_file_name`` (None at the ends).

    Args:
        size: key of the table of sizes.
        domain: ``clear`` or ``foggy``.
        split: ``train``, ``val`` or ``sequences``.
        separated: semantic labels in detectron2's "separated" panoptic form.
    """
    name = dataset_name(size, domain, split, separated)
    folder = streets_folder(size, domain, split)
    json_file, image_root = str(folder / "instances.json"), folder / "images"
    labels = folder / ("stuff" if separated else "sem_seg")
    set_paths(name, json_file=json_file, image_root=str(image_root), sem_seg_root=str(labels))
    records = load_coco_json(json_file, str(image_root), name, ANNOTATION_KEYS)
    data = json.loads(Path(json_file).read_text())
    images = {image["id"]: image for image in data["images"]}
    for record in records:
        image = images[record["image_id"]]
        record["sem_seg_file_name"] = str(labels / image["file_name"])
        record["disparity_file_name"] = str(folder / "disparity" / image["file_name"])
        record["disparity_scale"] = data["info"]["disparity_scale"]
        record["baseline"] = data["info"]["baseline"]
        record.update({key: image[key] for key in IMAGE_KEYS if key in image})
    if split == "sequences":
        _link_neighbours(records)
    return records


def _link_neighbours(records: list[dict]) -> None:
    by_place = {(r["sequence"]["id"], r["sequence"]["frame"]): r["file_name"] for r in records}
    for record in records:
        sequence, frame = record["sequence"]["id"], record["sequence"]["frame"]
        record["previous_file_name"] = by_place.get((sequence, frame - 1))
        record["next_file_name"] = by_place.get((sequence, frame + 1))


def dataset_name(size: str, domain: str, split: str, separated: bool = False) -> str:
    """Return the registered name of one split."""
    return f"streets_{size}_{domain}_{split}" + ("_separated" if separated else "")


def register() -> None:
    """Register every size, domain and split, each also in "separated" panoptic form."""
    common = {
        "thing_classes": THING_CLASSES,
        "thing_colors": COLORS[NUM_STUFF:],
        "ignore_label": IGNORE_LABEL,
        "evaluator_type": "coco",
        "mask_format": "bitmask",
    }
    full = {
        "evaluator_types": ["coco", "sem_seg", "depth"],
        "stuff_classes": SEMANTIC_CLASSES,
        "stuff_colors": COLORS,
    }
    stuff = {
        "evaluator_types": ["coco_panoptic_seg"],
        "stuff_classes": SEPARATED_CLASSES,
        "stuff_colors": [(0, 0, 0), *COLORS[:NUM_STUFF]],
    }
    for size in SIZES:
        for domain in DOMAINS:
            for split in SPLITS:
                for separated, labels in ((False, full), (True, stuff)):
                    register_dataset(
                        dataset_name(size, domain, split, separated),
                        partial(load_streets, size, domain, split, separated),
                        **common,
                        **labels,
                    )
