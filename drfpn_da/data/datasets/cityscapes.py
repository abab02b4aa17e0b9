"""Cityscapes (arXiv 1604.01685) and Foggy Cityscapes (arXiv 1708.07819) as detection sets."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from detectron2.data.datasets.cityscapes import load_cityscapes_instances
from pycocotools import mask as mask_util

from ...compat import install_cityscapes_bridge
from .coco_files import Labelled, derived_json, load_derived, register_derived
from .paths import require_layout

SPLITS = ("train", "val")
# In the order of the official label table, which is detectron2's.
CLASSES = ["person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle"]
# Attenuation of the simulated fog, 1 / m: visibility of about 600, 300 and 150 m.
BETAS = ("0.005", "0.01", "0.02")
LAYOUT = """
cityscapes/
  leftImg8bit/{{train,val}}/<city>/*_leftImg8bit.png
  gtFine/{{train,val}}/<city>/*_gtFine_instanceIds.png, *_labelIds.png, *_polygons.json
{fog}"""
FOG_LAYOUT = """  leftImg8bit_foggy/{train,val}/<city>/*_leftImg8bit_foggy_beta_0.02.png
"""


def load_cityscapes(name: str, split: str, classes: list[str], beta: str = "") -> list[dict]:
    """Load Cityscapes, clear or foggy, as detectron2 data set dicts with boxes and masks.

    Boxes are those of the visible pixels in the official ``instanceIds``. Groups of touching
    objects are crowds: they train nothing, and detections on them count neither way.

    Args:
        name: registered name.
        split: "train" or "val".
        classes: of :data:`CLASSES`.
        beta: of :data:`BETAS`; "" for the clear pictures. Both have the same annotations.

    Raises:
        FileNotFoundError: data missing.
        ModuleNotFoundError: the package cityscapesscripts is missing.
    """
    folders = [f"leftImg8bit/{split}", f"gtFine/{split}"]
    if beta:
        folders[0] = f"leftImg8bit_foggy/{split}"
    layout = LAYOUT.format(fog=FOG_LAYOUT if beta else "")
    needed = [*folders, f"leftImg8bit/{split}"]
    root = require_layout(name, "cityscapes", needed, layout)
    clear = _write_all_classes(root, split)
    suffix = f"_foggy_beta_{beta}" if beta else ""

    def read() -> Iterator[Labelled]:
        data = json.loads(clear.read_text())
        objects: dict[int, list[dict]] = {image["id"]: [] for image in data["images"]}
        ids = {i: classes.index(c) + 1 for i, c in enumerate(CLASSES, start=1) if c in classes}
        for entry in data["annotations"]:
            if entry["category_id"] in ids:
                image_id = entry.pop("image_id")
                entry["category_id"] = ids[entry["category_id"]]
                del entry["id"]
                objects[image_id].append(entry)
        for image in data["images"]:
            picture = f"{image['file_name']}{suffix}.png"
            if not (root / folders[0] / picture).is_file():
                raise FileNotFoundError(
                    f"dataset '{name}': {root / folders[0] / picture} does not exist"
                )
            size = {"width": image["width"], "height": image["height"]}
            yield {"file_name": picture, **size}, objects[image["id"]]

    return load_derived(name, root / folders[0], [clear], classes, read, beta)


def _write_all_classes(root: Path, split: str) -> Path:
    """Return the JSON that all sets of a split share; its file names have no ending."""
    pictures, truth = root / "leftImg8bit" / split, root / "gtFine" / split
    sources = sorted(truth.glob("*/*_gtFine_instanceIds.png"))
    if not sources:
        raise FileNotFoundError(f"no *_gtFine_instanceIds.png in the folders of {truth}")

    def read() -> Iterator[Labelled]:
        _require_scripts()
        records = load_cityscapes_instances(
            str(pictures), str(truth), from_json=False, to_polygons=False
        )
        for record in sorted(records, key=lambda r: r["file_name"]):
            name = str(Path(record["file_name"]).relative_to(pictures).with_suffix(""))
            size = {"width": record["width"], "height": record["height"]}
            yield {"file_name": name, **size}, [_convert(a) for a in record["annotations"]]

    return derived_json(f"cityscapes_{split}", sources, CLASSES, read)


def _convert(annotation: dict) -> dict:
    mask = annotation["segmentation"]
    return {
        "category_id": annotation["category_id"] + 1,
        # detectron2's box ends at the middle of the last pixel; this one covers it.
        "bbox": mask_util.toBbox(mask).tolist(),
        "area": int(mask_util.area(mask)),
        "iscrowd": int(annotation["iscrowd"]),
        "segmentation": {"size": mask["size"], "counts": mask["counts"].decode()},
    }


def _require_scripts() -> None:
    install_cityscapes_bridge()
    if importlib.util.find_spec("cityscapesscripts") is None:
        raise ModuleNotFoundError(
            "the annotations of Cityscapes are read with its own label table: "
            "pip install cityscapesscripts",
            name="cityscapesscripts",
        )


def register() -> None:
    """Register ``cityscapes_{boxes,cars}_*`` and ``foggy_cityscapes_beta_*_*``."""
    for split in SPLITS:
        _register(f"cityscapes_boxes_{split}", split, CLASSES)
        _register(f"cityscapes_cars_{split}", split, ["car"])
        for beta in BETAS:
            _register(f"foggy_cityscapes_beta_{beta}_{split}", split, CLASSES, beta)


def _register(name: str, split: str, classes: list[str], beta: str = "") -> None:
    load = partial(load_cityscapes, name, split, classes, beta)
    register_derived(name, load, classes, mask_format="bitmask")
