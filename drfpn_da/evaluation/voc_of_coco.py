"""PASCAL VOC metrics of data sets in COCO's format."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections import OrderedDict, defaultdict
from functools import partial
from pathlib import Path

from detectron2.data import MetadataCatalog

from ..data.datasets.paths import build_once, fingerprint
from ..files import cache_root
from .pascal_voc import PascalVOCEvaluator

_SPLIT = "all"
# Part of the cache's key: files are named by the number of the picture.
_LAYOUT = 2


class VOCOfCOCOEvaluator(PascalVOCEvaluator):
    """VOC average precision of the annotations in a COCO JSON; results are under ``"voc"``.

    The annotations are written once into the cache in VOC's format and given to detectron2's
    evaluator, so that the numbers are those of a VOC data set: ``AP50-voc07`` is the 11-point
    average precision at an IoU above 0.5 that papers on domain adaptation report. COCO's crowds,
    and annotations with ``"difficult": 1``, are difficult: detections on them count neither way.
    VOC's coordinates are whole pixels; boxes with fractions are rounded.

    Args:
        dataset_name: registered, with ``json_file`` and ``thing_classes`` in its metadata.

    Raises:
        ValueError: the JSON and the metadata differ in their classes.
    """

    def __init__(self, dataset_name: str) -> None:
        metadata = MetadataCatalog.get(dataset_name)
        json_file, classes = Path(metadata.json_file), list(metadata.thing_classes)
        target = cache_root() / "voc_of_coco" / fingerprint([json_file], classes, _LAYOUT)
        folder = build_once(target, partial(_write_voc, json_file, classes))
        # detectron2's evaluator takes its paths from metadata.
        name = f"voc_of_coco/{dataset_name}/{folder.name}"
        MetadataCatalog.get(name).set(
            dirname=str(folder), split=_SPLIT, year=2007, thing_classes=classes
        )
        super().__init__(name)
        self._numbers = _numbers(json.loads(json_file.read_text(encoding="utf-8"))["images"])

    def process(self, inputs: list[dict], outputs: list[dict]) -> None:
        """Take a batch; pictures go by their number, as detections are lines of words by id."""
        numbered = [{**i, "image_id": self._numbers[i["image_id"]]} for i in inputs]
        super().process(numbered, outputs)

    def evaluate(self) -> OrderedDict | None:
        """Return ``{"voc": {metric: percent}}`` on the main process, None on the others."""
        result = super().evaluate()
        return None if result is None else OrderedDict(voc=result["bbox"])


def _numbers(images: list[dict]) -> dict:
    """Picture id -> number, whatever an id may be: a text with blanks or slashes too."""
    return {image["id"]: number for number, image in enumerate(images)}


def _write_voc(json_file: Path, classes: list[str], folder: Path) -> None:
    """Write ``Annotations/<number of the picture>.xml`` and the list of pictures."""
    data = json.loads(json_file.read_text(encoding="utf-8"))
    names = {c["id"]: c["name"] for c in data["categories"]}
    if sorted(names.values()) != sorted(classes):
        raise ValueError(f"{json_file} has the classes {sorted(names.values())}, not {classes}")
    objects = defaultdict(list)
    for annotation in data.get("annotations", ()):
        objects[annotation["image_id"]].append(annotation)
    (folder / "Annotations").mkdir()
    numbers = _numbers(data["images"])
    for identifier, number in numbers.items():
        root = ET.Element("annotation")
        for annotation in objects[identifier]:
            _add_object(root, annotation, names[annotation["category_id"]])
        ET.ElementTree(root).write(folder / "Annotations" / f"{number}.xml")
    (folder / "ImageSets" / "Main").mkdir(parents=True)
    ids = "".join(f"{number}\n" for number in numbers.values())
    (folder / "ImageSets" / "Main" / f"{_SPLIT}.txt").write_text(ids)


def _add_object(root: ET.Element, annotation: dict, name: str) -> None:
    x, y, width, height = annotation["bbox"]
    difficult = annotation.get("difficult", 0) or annotation.get("iscrowd", 0)
    # Pixels count from 1, and the last one belongs to the box.
    sides = {"xmin": x + 1, "ymin": y + 1, "xmax": x + width, "ymax": y + height}
    entry = ET.SubElement(root, "object")
    texts = {"name": name, "pose": "", "truncated": "0", "difficult": str(int(difficult))}
    for tag, text in texts.items():
        ET.SubElement(entry, tag).text = text
    box = ET.SubElement(entry, "bndbox")
    for tag, value in sides.items():
        ET.SubElement(box, tag).text = str(round(value))
