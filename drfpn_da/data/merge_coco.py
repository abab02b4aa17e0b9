"""Two COCO files as one, of the second only the slender objects: the COCO+ of the paper."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from .slenderness import annotation_slenderness


def merge_slender(
    first: Mapping[str, Any],
    second: Mapping[str, Any],
    *,
    below: float = 1 / 3,
    prefixes: tuple[str, str] = ("", ""),
) -> dict[str, Any]:
    """Merge COCO data sets: all of the first, and of the second the images with slender objects.

    As in COCO+ (arXiv 2011.08529), where slender objects of a second data set are added. There the
    other objects of its images are dropped, so that finding them is an error. Here they stay as
    regions to ignore (``iscrowd`` 1), in which detections of their class count neither way.
    Classes are those of the first; of the second, the classes of the same names are taken.

    Args:
        first: COCO data.
        second: COCO data; its annotations get new ids, its images too.
        below: slenderness below which an object of the second counts.
        prefixes: put before the file names of each, to find both below one folder.

    Returns:
        COCO data with "images", "annotations", "categories" and, in "info", what was done.

    Raises:
        ValueError: a part is missing; the data sets share no class, or, after the prefixes, a file.
    """
    for name, data in (("first", first), ("second", second)):
        missing = [key for key in ("images", "annotations", "categories") if key not in data]
        if missing:
            raise ValueError(f"the {name} file is no COCO ground truth: it lacks {missing}")
    classes = {category["name"]: category["id"] for category in first["categories"]}
    mapping = {c["id"]: classes[c["name"]] for c in second["categories"] if c["name"] in classes}
    if not mapping:
        raise ValueError(
            f"no class of the second file ({_names(second)}) is one of the first ({_names(first)})"
        )
    candidates = [a for a in second["annotations"] if a["category_id"] in mapping]
    values = annotation_slenderness(candidates).tolist()
    slender = {a["id"] for a, s in zip(candidates, values) if s < below and not a.get("iscrowd", 0)}
    wanted = {a["image_id"] for a in candidates if a["id"] in slender}

    images = [_renamed(image, prefixes[0], image["id"]) for image in first["images"]]
    annotations = copy.deepcopy(list(first["annotations"]))
    next_image = max((image["id"] for image in images), default=0) + 1
    next_annotation = max((a["id"] for a in annotations), default=0) + 1
    ids: dict[int, int] = {}
    for image in second["images"]:
        if image["id"] in wanted:
            ids[image["id"]] = next_image + len(ids)
            images.append(_renamed(image, prefixes[1], ids[image["id"]]))
    files = [image["file_name"] for image in images]
    if len(set(files)) < len(files):
        twice = next(name for name in files if files.count(name) > 1)
        raise ValueError(f"'{twice}' is in both files: give prefixes that tell the folders apart")
    added = [a for a in candidates if a["image_id"] in wanted]
    for number, annotation in enumerate(added, start=next_annotation):
        counts = annotation["id"] in slender
        annotations.append(
            {
                **copy.deepcopy(annotation),
                "id": number,
                "image_id": ids[annotation["image_id"]],
                "category_id": mapping[annotation["category_id"]],
                "iscrowd": 0 if counts else 1,
            }
        )
    done = {
        "slender_below": below,
        "slender_added": len(slender),
        "ignored_added": len(added) - len(slender),
    }
    return {
        "info": {**first.get("info", {}), **done},
        "licenses": [*first.get("licenses", []), *second.get("licenses", [])],
        "images": images,
        "annotations": annotations,
        "categories": copy.deepcopy(list(first["categories"])),
    }


def _renamed(image: Mapping[str, Any], prefix: str, number: int) -> dict[str, Any]:
    return {**image, "id": number, "file_name": prefix + image["file_name"]}


def _names(data: Mapping[str, Any]) -> str:
    names = [category["name"] for category in data["categories"]]
    return ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")
