"""Checks of the pictures and classes that a COCO file lists, without opening a picture."""

from __future__ import annotations

import math
from typing import Any

from .findings import Findings

#: Picture id -> (width, height), None if the file does not say.
Sizes = dict[Any, "tuple[float, float] | None"]


def is_number(value: Any) -> bool:
    """Whether a value of a JSON file is a finite number."""
    return type(value) in (int, float) and math.isfinite(value)


def check_ids(
    entries: list[Any], key: str, codes: tuple[str, str], findings: Findings
) -> dict[Any, int]:
    """Check that entries have ids, of one type, each once.

    Args:
        entries: objects of the list ``key``.
        key: "images", "categories" or "annotations".
        codes: of the findings "no usable id" and "repeats an id".
        findings: gets what is found.

    Returns:
        id -> first position.
    """
    places: dict[Any, int] = {}
    kinds: dict[type, int] = {}
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict):
            continue
        identifier = entry.get("id")
        if type(identifier) not in (int, str):
            said = "no id" if "id" not in entry else f"id {identifier!r}"
            findings.add(codes[0], key, number, detail=said)
            continue
        first = places.setdefault(identifier, number)
        if first != number:
            detail = f"{key} repeat id {identifier}, that of {key}[{first}]"
            findings.add(codes[1], key, number, identifier, detail)
        kinds.setdefault(type(identifier), number)
    if len(kinds) > 1:
        detail = f"numbers ({key}[{kinds[int]}]) and text ({key}[{kinds[str]}]) are mixed"
        findings.add(codes[0], key, detail=detail)
    elif str in kinds and key != "annotations":  # which evaluators number themselves
        findings.add("text_ids", key)
    return places


def check_images(images: list[Any], findings: Findings) -> Sizes:
    """Check ids, names and sizes of the listed pictures; return the sizes by id."""
    check_ids(images, "images", ("image_id", "image_id_repeated"), findings)
    sizes: Sizes = {}
    names: dict[str, int] = {}
    for number, image in enumerate(images):
        if not isinstance(image, dict):
            findings.add("image_malformed", "images", number, detail=repr(image)[:40])
            continue
        identifier = image.get("id")
        name = image.get("file_name")
        if not isinstance(name, str) or not name:
            findings.add("image_file_name", "images", number, identifier, f"file_name {name!r}")
        elif names.setdefault(name, number) != number:
            findings.add("image_twice", "images", number, identifier, name)
        size = _size(image, number, findings)
        if type(identifier) in (int, str):
            sizes[identifier] = size
    return sizes


def _size(image: dict[str, Any], number: int, findings: Findings) -> tuple[float, float] | None:
    width, height = image.get("width"), image.get("height")
    if width is None or height is None:
        findings.add("image_no_size", "images", number, image.get("id"))
        return None
    if not (is_number(width) and is_number(height) and width > 0 and height > 0):
        detail = f"width {width!r}, height {height!r}"
        findings.add("image_size", "images", number, image.get("id"), detail)
        return None
    return width, height


def check_classes(categories: list[Any], findings: Findings) -> set[Any]:
    """Check ids and names of the classes; return the ids."""
    if not categories:
        findings.add("no_class")
    ids = check_ids(categories, "categories", ("class_id", "class_id_repeated"), findings)
    names: dict[str, int] = {}
    for number, category in enumerate(categories):
        name = category.get("name") if isinstance(category, dict) else None
        if not isinstance(name, str) or not name:
            findings.add("class_malformed", "categories", number, detail=repr(category)[:60])
        elif names.setdefault(name, number) != number:
            detail = f"named '{name}' as categories[{names[name]}]"
            findings.add("class_name_repeated", "categories", number, category.get("id"), detail)
    return set(ids)
