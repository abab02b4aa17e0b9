"""Sources of the car benchmarks: Sim10k (arXiv 1610.01983) and KITTI (CVPR 2012)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..picture_files import picture_size
from .coco_files import Labelled, clip_box, load_derived, register_derived
from .paths import require_layout
from .voc_format import load_voc_format

CLASSES = ["car"]
SIM10K_LAYOUT = """
sim10k/
  JPEGImages/*.jpg      10,000 pictures
  Annotations/*.xml     in VOC's format; the archives hold both below VOC2012/
"""
KITTI_LAYOUT = """
kitti/
  training/image_2/*.png    7,481 pictures
  training/label_2/*.txt
"""


def load_sim10k() -> list[dict]:
    """Load all pictures of Sim10k with their cars as detectron2 data set dicts.

    Raises:
        FileNotFoundError: data missing.
        ValueError: an annotation file is not readable.
    """
    name = "sim10k_cars_train"
    root = require_layout(name, "sim10k", ["JPEGImages", "Annotations"], SIM10K_LAYOUT)
    ids = sorted(path.stem for path in (root / "Annotations").glob("*.xml"))
    if not ids:
        raise FileNotFoundError(f"dataset '{name}': no .xml in {root / 'Annotations'}")
    return load_voc_format(name, root, ids, CLASSES)


def load_kitti() -> list[dict]:
    """Load KITTI's training pictures with objects of type Car as detectron2 data set dicts.

    Vans, trucks and DontCare regions are background.

    Raises:
        FileNotFoundError: data missing.
        ValueError: a label file is not readable.
    """
    name = "kitti_cars_train"
    parts = ["training/image_2", "training/label_2"]
    root = require_layout(name, "kitti", parts, KITTI_LAYOUT)
    labels = sorted((root / "training/label_2").glob("*.txt"))
    images = {path.stem for path in (root / "training/image_2").glob("*.png")}
    if not labels:
        raise FileNotFoundError(f"dataset '{name}': no .txt in {root / 'training/label_2'}")
    absent = next((path.stem for path in labels if path.stem not in images), None)
    if absent is not None:
        raise FileNotFoundError(
            f"dataset '{name}': {root}/training/image_2/{absent}.png does not exist"
        )
    folder = root / "training/image_2"

    def read() -> Iterator[Labelled]:
        for path in labels:
            yield _read_kitti(folder / f"{path.stem}.png", path)

    return load_derived(name, folder, labels, CLASSES, read)


def _read_kitti(picture: Path, labels: Path) -> Labelled:
    width, height = picture_size(picture)
    objects = []
    for number, line in enumerate(labels.read_text().splitlines(), start=1):
        fields = line.split()
        if not fields or fields[0] != "Car":
            continue
        try:
            # type, truncation, occlusion, angle, left, top, right, bottom, ...
            x0, y0, x1, y1 = map(float, fields[4:8])
        except ValueError as error:
            raise ValueError(f"{labels}, line {number}: no box in fields 5 to 8") from error
        box = clip_box(x0, y0, x1, y1, width, height)
        if box is not None:
            objects.append({"category_id": 1, "bbox": box})
    return {"file_name": picture.name, "width": width, "height": height}, objects


def register() -> None:
    """Register ``sim10k_cars_train`` and ``kitti_cars_train``."""
    for name, load in (("sim10k_cars_train", load_sim10k), ("kitti_cars_train", load_kitti)):
        register_derived(name, load, CLASSES)
