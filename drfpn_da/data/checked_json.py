"""Errors that name the annotation file, and the entry, when a data set cannot be loaded."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.utils.file_io import PathManager

from .coco import read_coco

FIELDS = ("json_file", "panoptic_json")


@contextlib.contextmanager
def damaged_json_named(*datasets: str) -> Iterator[None]:
    """Inside the block, an error of a label file names the file of these data sets that has it.

    Files that this package did not register, and so did not check, are checked where loading fails.

    Args:
        datasets: registered names.

    Raises:
        ValueError: a file of a data set is no valid JSON, or its entries cannot be used.
    """
    try:
        yield
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        for name in datasets:
            for field in FIELDS:
                path = MetadataCatalog.get(name).get(field)
                if path and not _is_json(path):
                    raise ValueError(
                        f"dataset '{name}': {path} ({field}) is not valid JSON ({error}): it is "
                        "damaged or cut short; restore it, or remove the data set"
                    ) from error
        raise
    except (AssertionError, KeyError, TypeError, ValueError) as error:
        for name in datasets:
            if not _loads(name):
                _name_entries(name, error)
        raise


def _loads(name: str) -> bool:
    try:
        DatasetCatalog.get(name)
    except Exception:
        return False
    return True


def _name_entries(name: str, cause: Exception) -> None:
    """Raise an error with the entries at fault, if the data set has a COCO file with some."""
    meta = MetadataCatalog.get(name)
    path = meta.get("json_file", None)
    if not path or meta.get("evaluator_type", None) != "coco":
        return
    try:
        read_coco(path, meta.get("image_root", None)).raise_errors(f"dataset '{name}': ")
    except ValueError as error:
        raise error from cause


def _is_json(path: str) -> bool:
    try:
        with PathManager.open(path, encoding="utf-8") as file:
            json.load(file)
    except ValueError:
        return False
    except OSError:
        return True  # gone or not to be read: another error, which names it already
    return True
