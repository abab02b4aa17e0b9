"""Small copies of Cityscapes (arXiv 1604.01685) for segmentation with few labels and for depth.

``drfpn-da data cityscapes`` makes them from the official downloads, 512 pixels high as in Three
Ways (arXiv 2012.10782): pictures, label maps of the 19 evaluated classes, intrinsics that fit the
small pictures and, where they are there, the frames before and after.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Optional

import numpy as np
from detectron2.data import transforms as T
from detectron2.data.datasets.builtin_meta import CITYSCAPES_CATEGORIES
from PIL import Image

from ...files import write_whole
from ...labels.selection import random_order
from ..intrinsics import check_intrinsics, transform_intrinsics
from .catalog import register_dataset, set_paths
from .paths import build_once, datasets_root, require_layout

FOLDER = "cityscapes_small"
SPLITS = ("train", "val")
IGNORE_LABEL = 255
#: The labelled frame of each snippet, and the distance to its neighbours, in frames.
NEIGHBOUR = 1
LAYOUT = """
cityscapes_small/{train,val}/index.json     written by drfpn-da data cityscapes
"""
CLASSES = sorted((c for c in CITYSCAPES_CATEGORIES), key=lambda c: c["trainId"])


@dataclass(frozen=True)
class Frame:
    """One labelled picture of the official download and what belongs to it.

    Attributes:
        picture: ``leftImg8bit`` file.
        labels: ``labelIds`` file.
        neighbours: frame before and after; None where the sequences are not there.
        camera: JSON of the camera; None where it is not there.
    """

    picture: Path
    labels: Path
    neighbours: tuple[Optional[Path], Optional[Path]]
    camera: Optional[Path]


def find_frames(root: Path, split: str) -> list[Frame]:
    """Return the labelled pictures of a split below ``root`` in the order of their names.

    Raises:
        FileNotFoundError: no picture, or one without label map.
    """
    pictures = sorted((root / "leftImg8bit" / split).glob("*/*_leftImg8bit.png"))
    if not pictures:
        raise FileNotFoundError(
            f"no <city>/*_leftImg8bit.png in {root / 'leftImg8bit' / split}: unpack "
            "leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip of Cityscapes there"
        )
    return [_frame(root, split, picture) for picture in pictures]


def _frame(root: Path, split: str, picture: Path) -> Frame:
    city, name = picture.parent.name, picture.name[: -len("_leftImg8bit.png")]
    labels = root / "gtFine" / split / city / f"{name}_gtFine_labelIds.png"
    if not labels.is_file():
        raise FileNotFoundError(f"{picture} has no label map: {labels} does not exist")
    snippet, number = name.rsplit("_", 1)
    sequence = root / "leftImg8bit_sequence" / split / city
    before, after = (
        sequence / f"{snippet}_{int(number) + step:06d}_leftImg8bit.png"
        for step in (-NEIGHBOUR, NEIGHBOUR)
    )
    camera = root / "camera" / split / city / f"{name}_camera.json"
    return Frame(
        picture,
        labels,
        (before if before.is_file() else None, after if after.is_file() else None),
        camera if camera.is_file() else None,
    )


def write_small(frames: Sequence[Frame], height: int, folder: Path) -> dict[str, int]:
    """Write small copies and ``index.json``.

    Args:
        frames: of one split.
        height: of the copies in pixels; the width keeps the aspect.
        folder: existing, empty.

    Returns:
        How many have "neighbours" and "intrinsics".

    Raises:
        ValueError: ``height`` is larger than a picture's.
    """
    records: list[dict[str, Any]] = []
    for frame in frames:
        city, name = frame.picture.parent.name, frame.picture.stem
        with Image.open(frame.picture) as image:
            size, small = image.size, (round(image.width * height / image.height), height)
        if height > size[1]:
            raise ValueError(f"height {height} is more than the {size[1]} of {frame.picture}")
        record: dict[str, Any] = {"width": small[0], "height": small[1]}
        files = {
            "file_name": frame.picture,
            "previous_file_name": frame.neighbours[0],
            "next_file_name": frame.neighbours[1],
        }
        for key, source in files.items():
            if source is not None:
                record[key] = f"pictures/{city}/{source.stem}.png"
                _shrink(source, folder / record[key], small)
        record["sem_seg_file_name"] = f"labels/{city}/{name}.png"
        _shrink_labels(frame.labels, folder / record["sem_seg_file_name"], small)
        if frame.camera is not None:
            record["intrinsics"] = small_intrinsics(frame.camera, size, small)
        records.append(record)
    (folder / "index.json").write_text(json.dumps(records))
    return {
        "neighbours": sum("previous_file_name" in r and "next_file_name" in r for r in records),
        "intrinsics": sum("intrinsics" in r for r in records),
    }


def small_intrinsics(
    camera: Path, size: tuple[int, int], small: tuple[int, int]
) -> list[list[float]]:
    """Return the (3, 3) camera matrix of a picture that was resized from ``size`` to ``small``.

    Args:
        camera: official JSON with ``intrinsic``: fx, fy, u0, v0 in pixels of the full picture,
            pixel (0, 0) being the centre of the top left one.
        size: (width, height) of the full picture.
        small: (width, height) of the copy.

    Raises:
        ValueError: the file does not belong to a picture of that size.
    """
    values = json.loads(camera.read_text())["intrinsic"]
    full = [[values["fx"], 0, values["u0"]], [0, values["fy"], values["v0"]], [0, 0, 1]]
    checked = check_intrinsics(full, (size[1], size[0]), str(camera))
    resize = T.ResizeTransform(size[1], size[0], small[1], small[0])
    matrix: list[list[float]] = transform_intrinsics(checked, resize).tolist()
    return matrix


def _shrink(source: Path, target: Path, size: tuple[int, int]) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(source) as image:
        # Averages over the pixels that become one.
        image.convert("RGB").resize(size, Image.Resampling.BOX).save(target)


def _shrink_labels(source: Path, target: Path, size: tuple[int, int]) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    table = np.full(256, IGNORE_LABEL, np.uint8)
    for one in CLASSES:
        table[one["id"]] = one["trainId"]
    with Image.open(source) as image:
        # Resized before the look-up, by the nearest pixel: labels have no mean.
        ids = np.asarray(image.resize(size, Image.Resampling.NEAREST))
    Image.fromarray(table[ids]).save(target)


def prepare_split(root: Path, split: str, height: int) -> tuple[Path, dict[str, int]]:
    """Make the small copies of a split below the data sets' root, unless they are there.

    Returns:
        The folder, and what was counted; nothing counted if it existed.

    Raises:
        FileNotFoundError: official files are missing.
        FileExistsError: copies of another height are there.
    """
    target, counted = datasets_root() / FOLDER / split, {}

    def build(folder: Path) -> None:
        counted.update(write_small(find_frames(root, split), height, folder))

    existed = target.is_dir()
    build_once(target, build)
    if existed:
        there = json.loads((target / "index.json").read_text())[0]["height"]
        if there != height:
            raise FileExistsError(
                f"{target} holds copies {there} pixels high: keep --height {there}, or move that "
                "folder away"
            )
    return target, counted


def write_budgets(folder: Path, budgets: Sequence[int], seed: int) -> list[Path]:
    """Write ``labelled_<n>_seed<seed>.txt``, nested lists of pictures, relative to the folder.

    Raises:
        ValueError: a budget larger than the number of pictures, or not positive.
    """
    records = json.loads((folder / "index.json").read_text())
    order = random_order(len(records), seed)
    written = []
    for budget in budgets:
        if not 0 < budget <= len(records):
            raise ValueError(f"--budgets {budget}: {folder} has {len(records)} pictures")
        text = "".join(records[i]["file_name"] + "\n" for i in order[:budget]).encode()
        path = folder / f"labelled_{budget}_seed{seed}.txt"
        write_whole(path, lambda file: file.write(text))
        written.append(path)
    return written


def load_cityscapes_small(name: str, split: str) -> list[dict]:
    """Load a split as detectron2 data set dicts.

    With ``sem_seg_file_name`` and, where they were prepared, ``intrinsics`` (3x3, pixels),
    ``previous_file_name`` and ``next_file_name``.

    Raises:
        FileNotFoundError: it was not prepared.
    """
    root = require_layout(name, f"{FOLDER}/{split}", ["index.json"], LAYOUT)
    set_paths(name, image_root=str(root / "pictures"), sem_seg_root=str(root / "labels"))
    records = json.loads((root / "index.json").read_text())
    for number, record in enumerate(records):
        record["image_id"] = number
        for key in [key for key in record if key.endswith("file_name")]:
            record[key] = str(root / record[key])
    return records


def register() -> None:
    """Register ``cityscapes_small_train`` and ``cityscapes_small_val``."""
    for split in SPLITS:
        name = f"{FOLDER}_{split}"
        register_dataset(
            name,
            partial(load_cityscapes_small, name, split),
            stuff_classes=[one["name"] for one in CLASSES],
            stuff_colors=[tuple(one["color"]) for one in CLASSES],
            ignore_label=IGNORE_LABEL,
            evaluator_type="sem_seg",
        )
