"""Errors that name the file when a picture or label map cannot be read."""

from __future__ import annotations

from typing import Any, Callable

from detectron2.utils.file_io import PathManager
from detectron2.utils.serialize import PicklableWrapper
from PIL import Image

Mapper = Callable[[dict[str, Any]], Any]


class CheckedMapper:
    """Runs a dataset mapper and, should it fail, finds out whether a file is to blame.

    Args:
        mapper: for example detectron2's ``DatasetMapper``.

    Raises:
        FileNotFoundError: a file of the record is missing.
        ValueError: a file of the record is not a readable picture.
        Exception: whatever the mapper raised, unchanged, if the files are sound.
    """

    def __init__(self, mapper: Mapper) -> None:
        self._mapper = PicklableWrapper(mapper)

    def __call__(self, record: dict[str, Any]) -> Any:
        """Return the mapped record."""
        files = {key: record[key] for key in record if key.endswith("file_name")}
        try:
            return self._mapper(record)
        except Exception as error:
            for key, path in files.items():
                _check_picture(key, path, error)
            raise


def _check_picture(key: str, path: str, cause: Exception) -> None:
    if not PathManager.isfile(path):
        raise FileNotFoundError(
            f"{path} ({key} of a dataset record) does not exist: restore it or remove its record"
        ) from cause
    try:
        with PathManager.open(path, "rb") as file:
            Image.open(file).load()
    except Exception as error:
        raise ValueError(
            f"{path} ({key} of a dataset record) is not a readable picture ({error}): "
            "replace it or remove its record"
        ) from cause
