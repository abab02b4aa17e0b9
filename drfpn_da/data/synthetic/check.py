"""Verifies a generated split on disk: counts, sizes, and that all files agree with each other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NoReturn

import cv2
import numpy as np
from pycocotools import mask as mask_util

from .classes import NUM_STUFF, SEMANTIC_CLASSES, SKY, THING_CLASSES
from .spec import SIZES
from .writer import FOLDERS


def check_split(folder: Path, size: str, split: str) -> dict[str, int]:
    """Check one split written by :func:`~drfpn_da.data.synthetic.writer.write_split`.

    Args:
        folder: the split's folder.
        size: key of the table of sizes.
        split: ``train``, ``val`` or ``sequences``.

    Returns:
        Number of pictures, and of annotations by class name.

    Raises:
        ValueError: names the first file that is missing or disagrees, and the cure.
    """
    data = json.loads((folder / "instances.json").read_text())
    spec = SIZES[size]
    expected = spec.sequences * spec.frames if split == "sequences" else getattr(spec, split)
    if len(data["images"]) != expected:
        _fail(folder / "instances.json", f"has {len(data['images'])} pictures, not {expected}")
    by_image: dict[int, list[dict]] = {image["id"]: [] for image in data["images"]}
    for annotation in data["annotations"]:
        by_image[annotation["image_id"]].append(annotation)
    for image in data["images"]:
        _check_picture(folder, image, by_image[image["id"]])
    counts = dict.fromkeys(THING_CLASSES, 0)
    for annotation in data["annotations"]:
        counts[THING_CLASSES[annotation["category_id"] - 1]] += 1
    return {"pictures": expected, **counts}


def _check_picture(folder: Path, image: dict, annotations: list[dict]) -> None:
    maps = {}
    for name in FOLDERS:
        path = folder / name / image["file_name"]
        pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED) if path.is_file() else None
        if pixels is None:
            _fail(path, "is missing or cannot be read")
        if pixels.shape[:2] != (image["height"], image["width"]):
            _fail(path, f"is {pixels.shape[:2]}, not {(image['height'], image['width'])}")
        maps[name] = pixels
    labels = maps["sem_seg"]
    if labels.max() >= len(SEMANTIC_CLASSES):
        _fail(folder / "sem_seg" / image["file_name"], f"has id {labels.max()}")
    if (maps["disparity"][labels != SKY] == 0).any():
        _fail(folder / "disparity" / image["file_name"], "is 0 (infinitely far) outside the sky")
    for annotation in annotations:
        mask = mask_util.decode(annotation["segmentation"]).astype(bool)
        classes = np.unique(labels[mask]).tolist()
        if classes != [annotation["category_id"] + NUM_STUFF - 1]:
            _fail(
                folder / "sem_seg" / image["file_name"],
                f"disagrees with annotation {annotation['id']}",
            )


def _fail(path: Path, reason: str) -> NoReturn:
    folder = path.parent if path.suffix == ".json" else path.parent.parent
    raise ValueError(f"{path} {reason}; delete {folder} and generate it again")
