"""What identifies a data set and its annotations; needs neither torch nor detectron2."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import Any, BinaryIO, Union

AnnotationId = Union[int, str]


@dataclass(frozen=True)
class DatasetIdentity:
    """A data set as it was when its annotations were numbered.

    Attributes:
        name: registered name.
        file: annotation file; "" for a data set that has none.
        sha256: of that file, or of the records.
        classes: class names in the model's order.
        annotations: how many there are.
    """

    name: str
    file: str
    sha256: str
    classes: tuple[str, ...]
    annotations: int


def file_sha256(path: str | os.PathLike) -> str:
    """Return the SHA-256 of a file as hexadecimal digits."""
    digest = hashlib.sha256()
    with _open(str(path)) as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def _open(path: str) -> BinaryIO | Any:
    if "://" not in path:
        return open(path, "rb")
    from detectron2.utils.file_io import PathManager

    return PathManager.open(path, "rb")
