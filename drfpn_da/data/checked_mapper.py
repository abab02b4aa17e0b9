"""Errors that name the file when a picture or label map cannot be read."""

from __future__ import annotations

import logging
from typing import Any, Callable

from detectron2.utils.file_io import PathManager
from detectron2.utils.serialize import PicklableWrapper
from PIL import Image

logger = logging.getLogger(__name__)

Mapper = Callable[[dict[str, Any]], Any]


class UnreadableFileError(Exception):
    """A file of a record cannot be read; raised as one of the two errors below."""


class MissingFileError(UnreadableFileError, FileNotFoundError):
    """A file of a record does not exist."""


class DamagedFileError(UnreadableFileError, ValueError):
    """A file of a record is not a picture."""


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


class SkipUnreadable:
    """Runs a mapper and rejects a record whose picture cannot be read, with a warning naming it.

    A loader that gets None draws another record, with random numbers of the same position.

    Args:
        mapper: for example detectron2's ``DatasetMapper``.
    """

    def __init__(self, mapper: Mapper) -> None:
        self._mapper = CheckedMapper(mapper)
        self._named: set[str] = set()

    def __call__(self, record: dict[str, Any]) -> Any:
        """Return the mapped record, or None."""
        try:
            return self._mapper(record)
        except UnreadableFileError as error:
            if str(error) not in self._named:
                self._named.add(str(error))
                logger.warning("Skipped: %s", error)
            return None


def _check_picture(key: str, path: str, cause: Exception) -> None:
    if not PathManager.isfile(path):
        raise MissingFileError(
            f"{path} ({key} of a dataset record) does not exist: restore it or remove its record"
        ) from cause
    try:
        with PathManager.open(path, "rb") as file:
            Image.open(file).load()
    except Exception as error:
        raise DamagedFileError(
            f"{path} ({key} of a dataset record) is not a readable picture ({error}): "
            "replace it or remove its record"
        ) from cause
