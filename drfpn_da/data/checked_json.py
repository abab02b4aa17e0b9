"""Errors that name the annotation file when its JSON cannot be read."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator

from detectron2.data import MetadataCatalog
from detectron2.utils.file_io import PathManager

FIELDS = ("json_file", "panoptic_json")


@contextlib.contextmanager
def damaged_json_named(*datasets: str) -> Iterator[None]:
    """Inside the block, an error of damaged JSON names the file of these data sets that has it.

    Args:
        datasets: registered names.

    Raises:
        ValueError: a file of a data set is no valid JSON.
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


def _is_json(path: str) -> bool:
    try:
        with PathManager.open(path, encoding="utf-8") as file:
            json.load(file)
    except ValueError:
        return False
    except OSError:
        return True  # gone or not to be read: another error, which names it already
    return True
