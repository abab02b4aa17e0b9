"""Mappers whose errors name the picture, and the annotation, that they stopped at."""

from __future__ import annotations

import contextlib
import copy
import logging
from typing import Any, Callable

import numpy as np
from detectron2.data import detection_utils
from detectron2.utils.file_io import PathManager
from detectron2.utils.serialize import PicklableWrapper
from PIL import Image

from ..compat import picture_reader
from .picture_files import read_picture

logger = logging.getLogger(__name__)

Mapper = Callable[[dict[str, Any]], Any]
_NO_SAMPLE = "cannot be made a sample"
#: Fields of a record with pictures; other files hold numbers, which must not be stretched.
PICTURES = ("file_name", "previous_file_name", "next_file_name")


class UnreadableFileError(Exception):
    """A file of a record cannot be read; raised as one of the two errors below."""


class MissingFileError(UnreadableFileError, FileNotFoundError):
    """A file of a record does not exist."""


class DamagedFileError(UnreadableFileError, ValueError):
    """A file of a record is not a picture."""


class CheckedMapper:
    """Runs a dataset mapper, finds out what is to blame should it fail, and reads 16-bit pictures.

    Pictures are read by :func:`~drfpn_da.data.picture_files.read_picture`, label maps as before.

    Args:
        mapper: for example detectron2's ``DatasetMapper``.

    Raises:
        FileNotFoundError: a file of the record is missing.
        ValueError: a file of the record is not a readable picture.
        Exception: if the files are sound, what the mapper raised, its message preceded by the
            picture and the annotation that it stopped at.
    """

    def __init__(self, mapper: Mapper) -> None:
        self._mapper = PicklableWrapper(mapper)

    def __call__(self, record: dict[str, Any]) -> Any:
        """Return the mapped record."""
        files = {key: record[key] for key in record if key.endswith("file_name")}
        with picture_reader(_reader({path for key, path in files.items() if key in PICTURES})):
            try:
                return self._mapper(record)
            except (UnreadableFileError, MemoryError):
                raise
            except Exception as error:
                for key, path in files.items():
                    _check_picture(key, path, error)
                _name_record(self._mapper, record, error)
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


def _reader(pictures: set[str]) -> Callable[..., np.ndarray]:
    plain = detection_utils.read_image

    def read(file_name: str, format: str | None = None) -> np.ndarray:
        return (read_picture if file_name in pictures else plain)(file_name, format)

    return read


def _name_record(mapper: Mapper, record: dict[str, Any], error: Exception) -> None:
    """Put before an error's message which picture, and if that can be found out which annotation.

    Its type stays: the caller, or a process that loads data, may tell errors by it.
    """
    if _NO_SAMPLE in str(error):
        return  # a checked mapper inside this one has said so
    size = f" ({record['width']}x{record['height']} pixels)" if "width" in record else ""
    name = f"{record.get('file_name', 'a record without file_name')}{size}"
    text = error.args[0] if error.args else "no reason is given"
    error.args = (
        f"{name}{_annotation_at_fault(mapper, record)} {_NO_SAMPLE}: {text} (its files can be "
        "read: correct or remove it, or change what INPUT says of sizes, crops and masks)",
        *error.args[1:],
    )


def _annotation_at_fault(mapper: Mapper, record: dict[str, Any]) -> str:
    annotations = record.get("annotations") or []
    if not annotations or _fails(mapper, {**record, "annotations": []}):
        return ""  # the picture itself
    for number, annotation in enumerate(annotations):
        if _fails(mapper, {**record, "annotations": [annotation]}):
            known = f" {annotation['id']}" if "id" in annotation else ""
            return f", annotation{known} (number {number + 1} of its picture)"
    return ""


def _fails(mapper: Mapper, record: dict[str, Any]) -> bool:
    with contextlib.suppress(Exception):
        mapper(copy.deepcopy(record))
        return False
    return True
