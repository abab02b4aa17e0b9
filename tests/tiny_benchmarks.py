"""Folders of two or three small pictures in the layouts of the official downloads."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

WIDTH, HEIGHT = 64, 48
# Columns of the official table that detectron2 reads, for the ids used below.
LABELS = """
from collections import namedtuple
Label = namedtuple("Label", "name id hasInstances ignoreInEval")
labels = [
    Label("road", 7, False, False), Label("person", 24, True, False),
    Label("rider", 25, True, False), Label("car", 26, True, False),
    Label("truck", 27, True, False), Label("bus", 28, True, False),
    Label("caravan", 29, True, True), Label("trailer", 30, True, True),
    Label("train", 31, True, False), Label("motorcycle", 32, True, False),
    Label("bicycle", 33, True, False), Label("license plate", -1, False, True),
]
id2label = {label.id: label for label in labels}
name2label = {label.name: label for label in labels}
"""
OBJECT = (
    "<object><name>{}</name><pose>x</pose><truncated>0</truncated><difficult>{}</difficult>"
    "<bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox></object>"
)


@pytest.fixture
def cityscapesscripts(tmp_path, monkeypatch):
    """A package cityscapesscripts with the label table, installed or not."""
    package = tmp_path / "scripts" / "cityscapesscripts" / "helpers"
    package.mkdir(parents=True)
    for folder in (package.parent, package):
        (folder / "__init__.py").touch()
    (package / "labels.py").write_text(LABELS)
    for name in [n for n in sys.modules if n.split(".")[0] == "cityscapesscripts"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(str(tmp_path / "scripts"))
    yield
    for name in [n for n in sys.modules if n.split(".")[0] == "cityscapesscripts"]:
        del sys.modules[name]


def write_picture(path: Path, value: int = 90) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((HEIGHT, WIDTH, 3), value, np.uint8)).save(path)


def write_cityscapes(root: Path, betas: tuple[str, ...] = ("0.02",)) -> None:
    """Two pictures of training and one of validation, each with the same objects.

    Persons 0 and 1 (the second cut in two by a car), a car, a crowd of cars and a caravan.
    """
    ids = np.full((HEIGHT, WIDTH), 7, np.uint16)
    ids[4:20, 2:10] = 24000
    ids[10:30, 20:40] = 24001
    ids[12:28, 26:34] = 26000
    ids[40:44, 40:60] = 26
    ids[30:36, 2:12] = 29000
    for split, city, frames in (("train", "ulm", (1, 0)), ("val", "bonn", (0,))):
        for frame in frames:
            stem = f"{city}_00000{frame}_000019"
            truth = root / "cityscapes" / "gtFine" / split / city / f"{stem}_gtFine"
            truth.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(ids).save(f"{truth}_instanceIds.png")
            for other in ("_labelIds.png", "_polygons.json"):
                Path(f"{truth}{other}").touch()
            base = root / "cityscapes"
            write_picture(base / "leftImg8bit" / split / city / f"{stem}_leftImg8bit.png")
            for beta in betas:
                name = f"{stem}_leftImg8bit_foggy_beta_{beta}.png"
                write_picture(base / "leftImg8bit_foggy" / split / city / name, 200)


def write_voc(
    folder: Path, objects: dict[str, list[tuple]], lists: dict[str, list[str]], size: bool = True
) -> None:
    """Pictures by name with objects (class, difficult, xmin, ymin, xmax, ymax), and lists of them.

    ``size`` writes the size of the picture into the annotation.
    """
    (folder / "Annotations").mkdir(parents=True)
    (folder / "ImageSets" / "Main").mkdir(parents=True)
    told = f"<size><width>{WIDTH}</width><height>{HEIGHT}</height></size>" if size else ""
    for name, found in objects.items():
        write_picture(folder / "JPEGImages" / f"{name}.jpg")
        text = told + "".join(OBJECT.format(*entry) for entry in found)
        (folder / "Annotations" / f"{name}.xml").write_text(f"<annotation>{text}</annotation>")
    for name, ids in lists.items():
        (folder / "ImageSets" / "Main" / f"{name}.txt").write_text("\n".join(ids) + "\n")


def write_kitti(root: Path) -> None:
    lines = {
        "000000": "Car 0.00 0 1.5 10.50 5.25 30.50 25.25 1.5 1.6 3.9 1 1 9 1.6\n"
        "Van 0.00 0 1.5 1 1 9 9 1.5 1.6 3.9 1 1 9 1.6\n"
        "Car 0.00 0 1.5 50.00 40.00 80.00 47.00 1.5 1.6 3.9 1 1 9 1.6\n",
        "000001": "DontCare -1 -1 -10 3 3 9 9 -1 -1 -1 -1000 -1000 -1000 -10\n",
    }
    (root / "kitti" / "training" / "label_2").mkdir(parents=True)
    for name, text in lines.items():
        write_picture(root / "kitti" / "training" / "image_2" / f"{name}.png")
        (root / "kitti" / "training" / "label_2" / f"{name}.txt").write_text(text)
