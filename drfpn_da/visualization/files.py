"""Writing pictures without losing any."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image


def free_path(path: str | os.PathLike) -> Path:
    """Return ``path`` or, if something is there, the first free of ``name-2``, ``name-3``..."""
    path = Path(path)
    candidate, number = path, 1
    while candidate.exists():
        number += 1
        candidate = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return candidate


def save_new(path: str | os.PathLike, write: Callable[[str], object]) -> Path:
    """Write a file under a free name, whole or not at all.

    Args:
        path: the name wanted; a number is added if it is taken. Folders are created.
        write: called with the name of a temporary file beside it, with the same ending.

    Returns:
        The path that was written.
    """
    target = free_path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{os.getpid()}-{target.name}")
    try:
        write(str(temporary))
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    return target


def save_text(text: str, path: str | os.PathLike) -> Path:
    """Write text in UTF-8 under a free name; see :func:`save_new`."""
    return save_new(path, lambda name: Path(name).write_text(text, encoding="utf-8"))


def save_picture(image: np.ndarray, path: str | os.PathLike) -> Path:
    """Write a picture under a free name; see :func:`save_new`.

    Args:
        image: (H, W, 3) uint8 RGB.
        path: ends in the format's suffix, for example ``.png``.
    """
    return save_new(path, Image.fromarray(image).save)
