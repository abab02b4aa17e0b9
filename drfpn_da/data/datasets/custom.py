"""A user's own pictures: any COCO JSON, or a folder without labels, registered without Python."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import Any

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import load_coco_json

from ..coco.file import OF_PICTURES, CocoFile, message, read_coco
from ..picture_files import IMAGE_SUFFIXES, list_pictures, picture_header

logger = logging.getLogger(__name__)


def register_coco_json(
    name: str,
    json_file: str,
    image_root: str,
    labels_needed: bool = True,
    skip_unreadable: bool = False,
) -> list[str]:
    """Register a data set in COCO's instances format; behind ``--register name json images``.

    The file is checked by :func:`drfpn_da.data.coco.read_coco`; where it is repaired, ``json_file``
    of the metadata is a repaired copy in the cache, and ``source_json_file`` the file itself.

    Args:
        name: new data set name.
        json_file: COCO JSON with ``images`` and ``categories``; without ``annotations`` it can be
            predicted on but not evaluated.
        image_root: folder below which the JSON's ``file_name`` entries lie.
        labels_needed: False: where the labels do not stand the check, or there are none, the
            pictures alone are registered, as for a target domain, whose labels are not read.
        skip_unreadable: of pictures alone, leave out, with a warning, what is missing or unreadable.

    Returns:
        Class names in the order of the model's outputs (by category id); empty for pictures alone.

    Raises:
        FileNotFoundError: the JSON, the folder or a picture is missing.
        ValueError: the name is taken by other files, or the JSON has an error; names the entries.
    """
    json_path, root = Path(json_file).expanduser(), Path(image_root).expanduser()
    if not json_path.is_file():
        raise FileNotFoundError(f"dataset '{name}': annotation file {json_path} does not exist")
    if not root.is_dir():
        raise FileNotFoundError(f"dataset '{name}': image folder {root} does not exist")
    paths = {"source_json_file": os.path.abspath(json_path), "image_root": os.path.abspath(root)}
    if _is_registered(name, **paths):
        known = list(MetadataCatalog.get(name).get("thing_classes", ()))
        if known or not labels_needed:
            return known

    file = read_coco(paths["source_json_file"], paths["image_root"])
    prefix = f"dataset '{name}': "
    if not labels_needed and file.findings.errors:
        logger.info(
            "%sthe pictures alone are used: %s", prefix, message(file.path, file.findings.errors)
        )
        _register_pictures(name, paths, skip_unreadable)
        return []
    file.raise_errors(prefix)
    file.log_warnings(prefix)
    return _register_labels(name, file, paths)


def _register_labels(name: str, file: CocoFile, paths: dict[str, str]) -> list[str]:
    assert file.data is not None
    json_file, data = str(file.repaired_copy()), file.data
    categories = sorted(data["categories"], key=lambda category: category["id"])
    classes = [category["name"] for category in categories]
    load = partial(load_records, json_file, paths["image_root"], name, file.counts.left_out)
    DatasetCatalog.register(name, load)
    MetadataCatalog.get(name).set(
        **paths,
        json_file=json_file,
        evaluator_type="coco",
        thing_classes=classes,
        mask_format=file.counts.mask_format,
        label_counts=file.counts,
        findings=file.findings,
    )
    logger.info(
        "Registered '%s': %d pictures, %d classes (%s)",
        name,
        len(data["images"]),
        len(classes),
        ", ".join(classes[:10]) + (", ..." if len(classes) > 10 else ""),
    )
    return classes


def _register_pictures(name: str, paths: dict[str, str], skip_unreadable: bool) -> None:
    file = read_coco(paths["source_json_file"], paths["image_root"], labels=False)
    prefix = f"dataset '{name}': "
    file.raise_errors(prefix, allow=OF_PICTURES if skip_unreadable else ())
    if file.lost:
        logger.warning("%sskipped: %s", prefix, message(file.path, file.findings.errors))
    assert file.data is not None
    images = [image for number, image in enumerate(file.data["images"]) if number not in file.lost]
    records = [
        {
            "file_name": os.path.join(paths["image_root"], image["file_name"]),
            "image_id": image["id"],
            "width": image["width"],
            "height": image["height"],
        }
        for image in sorted(images, key=lambda image: image["id"])
    ]
    DatasetCatalog.register(name, lambda: [dict(record) for record in records])
    MetadataCatalog.get(name).set(**paths, mask_format="none", findings=file.findings)


def load_records(
    json_file: str, image_root: str, name: str, left_out: Collection[Any]
) -> list[dict[str, Any]]:
    """Return detectron2's records of a COCO file; annotations have their "id".

    Args:
        json_file: path.
        image_root: folder of the pictures.
        name: of the data set.
        left_out: ids of annotations that nothing can be learnt from.
    """
    records: list[dict[str, Any]] = load_coco_json(json_file, image_root, name, ["id"])
    for record in records if left_out else ():
        record["annotations"] = [a for a in record["annotations"] if a["id"] not in left_out]
    return records


def register_image_folder(name: str, image_root: str, skip_unreadable: bool = False) -> None:
    """Register all pictures below a folder, without labels (for prediction or as a target domain).

    Args:
        name: new data set name.
        image_root: folder, searched recursively for common picture suffixes; links are followed.
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
    if not list_pictures(image_root):
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
    records: list[dict] = []
    wide: list[Path] = []
    for image_id, path in enumerate(list_pictures(image_root), start=1):
        try:
            header = picture_header(path)
        except ValueError as error:
            if skip_unreadable:
                logger.warning("Skipped: %s", error)
                continue
            raise ValueError(
                f"{error}; remove it, or write INPUT.SKIP_UNREADABLE_TARGET True"
            ) from error
        if header.wide:
            wide.append(path)
        size = {"width": header.width, "height": header.height}
        records.append({"file_name": str(path), "image_id": image_id, **size})
    if wide:
        logger.warning(
            "%d pictures below %s have more than 8 bits (first %s): each is stretched from its "
            "least to its greatest value",
            len(wide),
            image_root,
            wide[0],
        )
    return records


def _is_registered(name: str, **files: str) -> bool:
    """Return True when ``name`` exists with the same files; raise when with others."""
    if name not in DatasetCatalog.list():
        return False
    meta = MetadataCatalog.get(name)
    for key, value in files.items():
        known = meta.get(key, None) or meta.get(key.replace("source_", ""), None)
        if known is None or os.path.abspath(known) != value:
            raise ValueError(
                f"dataset '{name}' is already registered with {key} = {known}, not {value}; "
                "choose another name"
            )
    return True
