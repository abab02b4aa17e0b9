"""A user's own pictures: any COCO JSON, or a folder without labels, registered without Python."""

from __future__ import annotations

import json
import logging
import os
from collections import Counter
from functools import partial
from pathlib import Path

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import load_coco_json
from PIL import Image

logger = logging.getLogger(__name__)

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
# Existence is checked for this many pictures, evenly spread, so that registration stays quick.
CHECKED_IMAGES = 200


def register_coco_json(name: str, json_file: str, image_root: str) -> list[str]:
    """Register a data set in COCO's instances format; behind ``--register name json images``.

    Args:
        name: new data set name.
        json_file: COCO JSON with ``images`` and ``categories``; without ``annotations`` it can be
            predicted on but not evaluated.
        image_root: folder below which the JSON's ``file_name`` entries lie.

    Returns:
        Class names in the order of the model's outputs (by category id).

    Raises:
        FileNotFoundError: the JSON, the folder or a picture is missing.
        ValueError: the name is taken by other files, or the JSON is not consistent.
    """
    json_path, root = Path(json_file).expanduser(), Path(image_root).expanduser()
    if not json_path.is_file():
        raise FileNotFoundError(f"dataset '{name}': annotation file {json_path} does not exist")
    if not root.is_dir():
        raise FileNotFoundError(f"dataset '{name}': image folder {root} does not exist")
    json_file, image_root = os.path.abspath(json_path), os.path.abspath(root)
    if _is_registered(name, json_file=json_file, image_root=image_root):
        return list(MetadataCatalog.get(name).thing_classes)

    data = _read_json(name, json_path)
    _check_ids(name, data, json_path)
    _check_images(name, data["images"], root)
    classes = [c["name"] for c in sorted(data["categories"], key=lambda c: c["id"])]
    DatasetCatalog.register(name, partial(load_coco_json, json_file, image_root, name))
    MetadataCatalog.get(name).set(
        json_file=json_file,
        image_root=image_root,
        evaluator_type="coco",
        thing_classes=classes,
        mask_format=_mask_format(data.get("annotations", [])),
    )
    logger.info(
        "Registered '%s': %d pictures, %d classes (%s)",
        name,
        len(data["images"]),
        len(classes),
        ", ".join(classes[:10]) + (", ..." if len(classes) > 10 else ""),
    )
    return classes


def register_image_folder(name: str, image_root: str, skip_unreadable: bool = False) -> None:
    """Register all pictures below a folder, without labels (for prediction or as a target domain).

    Args:
        name: new data set name.
        image_root: folder, searched recursively for common picture suffixes.
        skip_unreadable: leave out, with a warning, what cannot be read as a picture.

    Raises:
        FileNotFoundError: the folder is missing or holds no picture.
        ValueError: the name is taken by another folder.
    """
    root = Path(image_root).expanduser()
    if not root.is_dir():
        raise FileNotFoundError(f"dataset '{name}': image folder {root} does not exist")
    image_root = os.path.abspath(root)
    if _is_registered(name, image_root=image_root):
        return
    if not _list_images(Path(image_root)):
        raise FileNotFoundError(
            f"dataset '{name}': no picture below {root} (suffixes {', '.join(IMAGE_SUFFIXES)})"
        )
    DatasetCatalog.register(name, partial(load_image_folder, image_root, skip_unreadable))
    MetadataCatalog.get(name).set(image_root=image_root, mask_format="none")


def load_image_folder(image_root: str, skip_unreadable: bool = False) -> list[dict]:
    """Return detectron2 data set dicts without annotations for every picture below a folder.

    Raises:
        ValueError: a file cannot be read as a picture, unless ``skip_unreadable``.
    """
    records = []
    for image_id, path in enumerate(_list_images(Path(image_root)), start=1):
        try:
            with Image.open(path) as image:
                width, height = image.size
                # EXIF orientations 5-8 swap the sides, and detectron2's reader applies them.
                if image.getexif().get(0x0112, 1) >= 5:
                    width, height = height, width
        except OSError as error:
            if skip_unreadable:
                logger.warning("Skipped: %s is not a readable picture (%s)", path, error)
                continue
            raise ValueError(f"{path} is not a readable picture ({error}); remove it") from error
        records.append(
            {"file_name": str(path), "image_id": image_id, "width": width, "height": height}
        )
    return records


def _list_images(root: Path) -> list[Path]:
    return sorted(p for p in root.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file())


def _is_registered(name: str, **files: str) -> bool:
    """Return True when ``name`` exists with the same files; raise when with others."""
    if name not in DatasetCatalog.list():
        return False
    meta = MetadataCatalog.get(name)
    for key, value in files.items():
        known = meta.get(key, None)
        if known is None or os.path.abspath(known) != value:
            raise ValueError(
                f"dataset '{name}' is already registered with {key} = {known}, not {value}; "
                "choose another name"
            )
    return True


def _read_json(name: str, path: Path) -> dict:
    try:
        data = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"dataset '{name}': {path} is not valid JSON ({error})") from error
    lists = ("images", "categories", "annotations")
    entries = {key: data.get(key) for key in lists} if isinstance(data, dict) else {}
    # Test sets without annotations are legal.
    entries["annotations"] = entries.get("annotations") or []
    missing = [key for key in lists if not isinstance(entries.get(key), list)]
    if missing:
        raise ValueError(
            f"dataset '{name}': {path} has no '{missing[0]}' list; expected COCO's instances "
            "format with images, annotations and categories"
        )
    if not data["categories"]:
        raise ValueError(f"dataset '{name}': the categories of {path} are empty")
    return data


def _check_ids(name: str, data: dict, path: Path) -> None:
    """Check that ids are unique and that annotations refer to what exists."""
    annotations = data.get("annotations", [])
    for key in ("images", "categories", "annotations"):
        counts = Counter(entry["id"] for entry in data.get(key, []))
        repeated = [i for i, n in counts.items() if n > 1]
        if repeated:
            raise ValueError(f"dataset '{name}': {key} of {path} repeat id {repeated[0]}")
    for field, key in (("category_id", "categories"), ("image_id", "images")):
        known = {entry["id"] for entry in data[key]}
        bad = next((a for a in annotations if a[field] not in known), None)
        if bad is not None:
            raise ValueError(
                f"dataset '{name}': annotation {bad['id']} of {path} has {field} {bad[field]}, "
                f"which is not among its {key}"
            )


def _check_images(name: str, images: list[dict], root: Path) -> None:
    step = max(1, len(images) // CHECKED_IMAGES)
    for image in images[::step]:
        if not (root / image["file_name"]).is_file():
            raise FileNotFoundError(
                f"dataset '{name}': picture {root / image['file_name']} does not exist; "
                "the image folder must be the one the JSON's file_name entries start from"
            )


def _mask_format(annotations: list[dict]) -> str:
    """Return "none", "polygon" or "bitmask" (RLE), judged by the first mask that is not a crowd."""
    for annotation in annotations:
        segmentation = annotation.get("segmentation")
        if segmentation and not annotation.get("iscrowd", 0):
            return "bitmask" if isinstance(segmentation, dict) else "polygon"
    return "none"
