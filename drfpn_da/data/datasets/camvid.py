"""CamVid in the SegNet layout: 11 classes of street scenes, and weak boxes from the label maps.

Brostow, Fauqueur, Cipolla: Semantic object classes in video, PRL 2009.

The label maps on disk use 11 for "unlabelled". They are copied once into the cache with 255 in
its place, detectron2's usual ignore value: stock mappers, losses and evaluators need no setting.
"""

from __future__ import annotations

import math
import re
from functools import partial
from pathlib import Path

import numpy as np
from detectron2.data.datasets import load_coco_json
from PIL import Image
from pycocotools import mask as mask_util

from ...files import cache_root
from .catalog import register_dataset, set_paths
from .coco_files import write_coco
from .paths import build_once, fingerprint, require_layout

SPLITS = ("train", "val")
# Day to dusk, by sequence and frame number (30 a second, every 30th is labelled). All pictures are
# of the folder train/. In each sequence the first part trains or adapts and the last one tests; the
# six pictures between them are left out, so that no test picture is closer than seven seconds to a
# training picture. At the cuts the car was moving: both sides show other places.
PARTS = {
    "day_train": {"0006R0": (0, 3120), "0016E5": (0, 7290)},
    "day_val": {"0006R0": (3330, 99999), "0016E5": (7500, 99999)},
    "dusk_train": {"0001TP": (0, 7770)},
    "dusk_val": {"0001TP": (7980, 99999)},
}
STUFF_CLASSES = [
    "sky",
    "building",
    "pole",
    "road",
    "pavement",
    "tree",
    "sign",
    "fence",
    "car",
    "pedestrian",
    "bicyclist",
]
COLORS = [
    (70, 130, 180),
    (70, 70, 70),
    (153, 153, 153),
    (128, 64, 128),
    (244, 35, 232),
    (107, 142, 35),
    (220, 220, 0),
    (190, 153, 153),
    (0, 0, 142),
    (220, 20, 60),
    (119, 11, 32),
]
# The one unbroken video: 15 frames a second, 0016E5_07959 to 08159, every second one.
SEQUENCE_STEP = 2
# The data set comes without calibration; 50 degrees is about what its pictures show.
FIELD_OF_VIEW = math.radians(50)
UNLABELLED = 11
IGNORE_LABEL = 255
BOX_CLASSES = ["car", "pedestrian", "bicyclist"]
# An 8-connected component becomes an object when it is at least this large; smaller ones are
# slivers left by occlusion. Touching objects of one class stay merged: the boxes are weak.
MIN_AREA = 100
MIN_SIDE = 6
LAYOUT = """
camvid/
  train/*.jpg|png  trainannot/*.png    pictures, and 8-bit label maps of the same stem
  val/*.jpg|png    valannot/*.png      ids 0-10 as in docs/datasets.md, 11 = unlabelled
"""


def load_camvid(split: str, boxes: bool = False) -> list[dict]:
    """Load one split as detectron2 data set dicts.

    Args:
        split: ``train``, ``val``, or a name in :data:`PARTS`.
        boxes: also give instances of :data:`BOX_CLASSES` (weak boxes and their masks).

    Raises:
        FileNotFoundError: data missing.
        ValueError: a label map has an unknown id or another size than its picture.
    """
    name = f"camvid_boxes_{split}" if boxes else f"camvid_{split}"
    part = PARTS.get(split)
    folder = "train" if part else split
    root = require_layout(name, "camvid", [folder, f"{folder}annot"], LAYOUT)
    pictures = sorted(p for p in (root / folder).iterdir() if p.suffix in (".jpg", ".png"))
    if part:
        pictures = [p for p in pictures if _belongs(p.stem, part)]
    labels = [root / f"{folder}annot" / f"{p.stem}.png" for p in pictures]
    if not pictures:
        wanted = f" of the sequences {sorted(part)}" if part else ""
        raise FileNotFoundError(
            f"dataset '{name}': no .jpg or .png{wanted} in {root / folder}\n{LAYOUT}"
        )
    absent = next((p for p in labels if not p.is_file()), None)
    if absent:
        raise FileNotFoundError(f"dataset '{name}': label map {absent} does not exist")
    key = fingerprint(labels, MIN_AREA, MIN_SIDE)
    build = partial(_write_derived, pictures, labels)
    derived = build_once(cache_root() / "camvid" / f"{split}-{key}", build)

    json_file, image_root = str(derived / "boxes.json"), str(root / folder)
    sem_seg_root = str(derived / "labels")
    set_paths(name, image_root=image_root, sem_seg_root=sem_seg_root)
    if boxes:
        set_paths(name, json_file=json_file)
    records = load_coco_json(json_file, image_root, name if boxes else None)
    for record in records:
        stem = Path(record["file_name"]).stem
        record["sem_seg_file_name"] = str(derived / "labels" / f"{stem}.png")
        if not boxes:
            del record["annotations"]
    return records


def load_camvid_sequence() -> list[dict]:
    """Load the pictures of ``camvid_val`` as a video: neighbours and intrinsics, no labels.

    The intrinsics are assumed (square pixels, principal point in the middle, a horizontal field of
    view of 50 degrees): depth is learnt up to a scale anyway, but its shape bears their error.

    Raises:
        FileNotFoundError: data missing.
    """
    records = load_camvid("val")
    set_paths("camvid_sequence", image_root=str(Path(records[0]["file_name"]).parent))
    files = {int(Path(r["file_name"]).stem.split("_")[1]): r["file_name"] for r in records}
    sequence = []
    for frame, record in zip(files, records):
        width, height = record["width"], record["height"]
        focal = width / 2 / math.tan(FIELD_OF_VIEW / 2)
        center = ((width - 1) / 2, (height - 1) / 2)
        sequence.append(
            {
                **{key: record[key] for key in ("file_name", "image_id", "height", "width")},
                "previous_file_name": files.get(frame - SEQUENCE_STEP),
                "next_file_name": files.get(frame + SEQUENCE_STEP),
                "intrinsics": [[focal, 0.0, center[0]], [0.0, focal, center[1]], [0.0, 0.0, 1.0]],
            }
        )
    return sequence


def _belongs(stem: str, part: dict[str, tuple[int, int]]) -> bool:
    """Whether a picture named like ``0001TP_006690`` or ``0006R0_f00930`` is in a part."""
    match = re.fullmatch(r"(\w+?)_f?(\d+)", stem)
    if match is None:
        return False
    first, last = part.get(match[1], (0, -1))
    return first <= int(match[2]) <= last


def _write_derived(pictures: list[Path], labels: list[Path], folder: Path) -> None:
    """Write ``labels/*.png`` with the ignore value and ``boxes.json`` with the weak boxes."""
    (folder / "labels").mkdir()
    images: list[dict] = []
    annotations: list[dict] = []
    for index, (picture, label_file) in enumerate(zip(pictures, labels), start=1):
        label = np.asarray(Image.open(label_file))
        with Image.open(picture) as image:
            width, height = image.size
        if label.shape != (height, width):
            raise ValueError(f"{label_file} is {label.shape}, but {picture} is {(height, width)}")
        if label.max() > UNLABELLED:
            raise ValueError(f"{label_file} has id {label.max()}; expected 0-{UNLABELLED}")
        converted = np.where(label == UNLABELLED, IGNORE_LABEL, label).astype(np.uint8)
        Image.fromarray(converted).save(folder / "labels" / f"{picture.stem}.png")
        images.append({"id": index, "file_name": picture.name, "width": width, "height": height})
        for annotation in weak_instances(label):
            annotation.update(id=len(annotations) + 1, image_id=index)
            annotations.append(annotation)
    write_coco(folder / "boxes.json", BOX_CLASSES, images, annotations)


def weak_instances(label: np.ndarray) -> list[dict]:
    """Turn the connected components of car, pedestrian and bicyclist into COCO annotations.

    Components are 8-connected; those below :data:`MIN_AREA` pixels or with a side below
    :data:`MIN_SIDE` pixels are dropped.

    Args:
        label: (H, W) ids of :data:`STUFF_CLASSES`.

    Returns:
        Annotations without ``id`` and ``image_id``; ``category_id`` starts at 1.
    """
    try:  # here, so that importing the package does not need OpenCV
        import cv2
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "the boxes of camvid_boxes_* need OpenCV: pip install opencv-python-headless",
            name="cv2",
        ) from error

    found = []
    for category_id, name in enumerate(BOX_CLASSES, start=1):
        mask = (label == STUFF_CLASSES.index(name)).astype(np.uint8)
        _, components, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
        for index, (x, y, w, h, area) in enumerate(stats.tolist()):
            if index == 0 or area < MIN_AREA or min(w, h) < MIN_SIDE:
                continue
            rle = mask_util.encode(np.asfortranarray(components == index, dtype=np.uint8))
            rle["counts"] = rle["counts"].decode()
            found.append(
                {
                    "category_id": category_id,
                    "bbox": [x, y, w, h],
                    "area": area,
                    "iscrowd": 0,
                    "segmentation": rle,
                }
            )
    return found


def register() -> None:
    """Register ``camvid_*`` (label maps), ``camvid_boxes_*`` (weak boxes), ``camvid_sequence``."""
    register_dataset("camvid_sequence", load_camvid_sequence, evaluator_type="depth")
    common = {
        "stuff_classes": STUFF_CLASSES,
        "stuff_colors": COLORS,
        "ignore_label": IGNORE_LABEL,
    }
    for split in (*SPLITS, *PARTS):
        register_dataset(
            f"camvid_{split}",
            partial(load_camvid, split),
            evaluator_type="sem_seg",
            **common,
        )
        register_dataset(
            f"camvid_boxes_{split}",
            partial(load_camvid, split, boxes=True),
            thing_classes=BOX_CLASSES,
            evaluator_type="coco",
            evaluator_types=["coco", "sem_seg"],
            mask_format="bitmask",
            **common,
        )
