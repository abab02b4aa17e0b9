"""COCO JSON files that are derived from other formats and kept in the cache."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Callable, Optional

from detectron2.data.datasets import load_coco_json

from ...files import cache_root
from .catalog import register_dataset, set_paths
from .paths import build_once, fingerprint

# Evaluators read this file; it holds exactly the pictures of its data set.
FILE_NAME = "instances.json"
#: A picture (``file_name`` below the image root, ``width``, ``height``) and its annotations,
#: without ids; ``category_id`` counts the classes from 1.
Labelled = tuple[dict[str, Any], list[dict[str, Any]]]


def register_derived(
    name: str, load: Callable[[], list[dict]], classes: list[str], mask_format: str = "none"
) -> None:
    """Register a data set of :func:`load_derived`, measured by COCO's metrics and by VOC's."""
    register_dataset(
        name,
        load,
        thing_classes=classes,
        evaluator_type="coco",
        evaluator_types=["coco", "voc_of_coco"],
        mask_format=mask_format,
    )


def load_derived(
    name: str,
    image_root: Path,
    sources: Iterable[Path],
    classes: Sequence[str],
    read: Callable[[], Iterable[Labelled]],
    *parts: object,
) -> list[dict]:
    """Load a data set from a COCO JSON that is made once from files of another format.

    Args:
        name: registered name; names the file in the cache too.
        image_root: folder below which the pictures lie.
        sources: files that the JSON is made of; it is made again when one changes.
        classes: names, in the order of the model's outputs.
        read: gives pictures and annotations, called if there is no JSON yet.
        *parts: values that the JSON depends on beside the files.

    Returns:
        detectron2 data set dicts.
    """
    json_file = derived_json(name, sources, classes, read, *parts)
    set_paths(name, json_file=str(json_file), image_root=str(image_root))
    return load_coco_json(str(json_file), str(image_root), name)


def derived_json(
    name: str,
    sources: Iterable[Path],
    classes: Sequence[str],
    read: Callable[[], Iterable[Labelled]],
    *parts: object,
) -> Path:
    """Return the COCO JSON of a derived data set, made if absent; see :func:`load_derived`."""
    key = fingerprint(sources, list(classes), *parts)
    build = partial(_write, classes, read)
    return build_once(cache_root() / "derived" / f"{name}-{key}", build) / FILE_NAME


def _write(classes: Sequence[str], read: Callable[[], Iterable[Labelled]], folder: Path) -> None:
    images: list[dict] = []
    annotations: list[dict] = []
    for picture, objects in read():
        images.append({"id": len(images) + 1, **picture})
        for entry in objects:
            ids = {"id": len(annotations) + 1, "image_id": len(images)}
            annotations.append({**ids, "iscrowd": 0, "area": _area(entry), **entry})
    write_coco(folder / FILE_NAME, classes, images, annotations)


def write_coco(
    path: Path, classes: Sequence[str], images: list[dict], annotations: list[dict]
) -> None:
    """Write a COCO JSON whose ``category_id`` counts the classes from 1."""
    categories = [{"id": i, "name": name} for i, name in enumerate(classes, start=1)]
    data = {"info": {}, "licenses": [], "categories": categories}
    path.write_text(json.dumps({**data, "images": images, "annotations": annotations}))


def _area(annotation: dict[str, Any]) -> float:
    _, _, width, height = annotation["bbox"]
    return float(width * height)


def clip_box(
    x0: float, y0: float, x1: float, y1: float, width: int, height: int
) -> Optional[list[float]]:
    """Return the part of a box inside a picture as [x, y, width, height], None if there is none."""
    x0, x1 = max(0.0, x0), min(float(width), x1)
    y0, y1 = max(0.0, y0), min(float(height), y1)
    return [x0, y0, x1 - x0, y1 - y0] if x1 > x0 and y1 > y0 else None
