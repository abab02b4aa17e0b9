"""Reads image files: their headers, and their pixels as 8 bits."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple, Optional

import numpy as np
from detectron2.data import detection_utils
from detectron2.utils.file_io import PathManager
from PIL import Image, ImageOps

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
#: Pillow's modes of one channel with more than 8 bits; its own conversion to RGB clips at 255.
WIDE_MODES = ("I;16", "I;16B", "I;16L", "I;16N", "I", "F")
#: What Pillow raises for files that are no pictures, damaged, or too large to be opened.
UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)

_ORIENTATION = 0x0112
_EXIF = frozenset({"exif", "Raw profile type exif"})
_NARROW_SUFFIXES = (".jpg", ".jpeg", ".webp")
# Kept, because the name is exchanged while a mapper runs.
_read_narrow = detection_utils.read_image


class UnreadablePictureError(OSError, ValueError):
    """A file is no picture, is damaged, or has more pixels than Pillow opens; names it."""


class PictureHeader(NamedTuple):
    """Size and depth of an image by its header.

    Attributes:
        width: in pixels, after the rotation that EXIF asks for.
        height: as well.
        turned: EXIF exchanges the sides (orientations 5 to 8).
        wide: has one channel of more than 8 bits.
    """

    width: int
    height: int
    turned: bool
    wide: bool


def picture_header(path: str | Path) -> PictureHeader:
    """Read the header of a picture; sizes are those that :func:`read_picture` gives.

    Raises:
        UnreadablePictureError: see there.
    """
    try:
        with Image.open(path) as image:
            (width, height), wide = image.size, image.mode in WIDE_MODES
            # Pillow decodes a whole PNG to look for EXIF behind its pixels, where none is written.
            plain = image.format == "PNG" and not _EXIF.intersection(image.info)
            turned = not plain and image.getexif().get(_ORIENTATION, 1) >= 5
    except UNREADABLE as error:
        raise _unreadable(path, error) from error
    return PictureHeader(*((height, width) if turned else (width, height)), turned, wide)


def picture_size(path: str | Path) -> tuple[int, int]:
    """Return (width, height) of a picture as it is read; see :func:`picture_header`."""
    return picture_header(path)[:2]


def read_picture(file_name: str, format: Optional[str] = "RGB") -> np.ndarray:
    """Read a picture as detectron2's ``read_image`` does, of more than 8 bits by its own range.

    The darkest value of a picture of one channel and more than 8 bits becomes 0, the brightest 255.
    What 8 bits hold is read as by detectron2, to the bit.

    Args:
        file_name: path.
        format: "RGB", "BGR" or another of detectron2's formats.

    Returns:
        (H, W, C), uint8 for "RGB" and "BGR", turned as EXIF says.

    Raises:
        FileNotFoundError: there is no such file.
        UnreadablePictureError: see there.
    """
    try:
        return _read(file_name, format)
    except FileNotFoundError:
        raise
    except UNREADABLE as error:
        raise _unreadable(file_name, error) from error


def _unreadable(path: str | Path, error: Exception) -> UnreadablePictureError:
    return UnreadablePictureError(f"{path} is not a readable picture ({error})")


def _read(file_name: str, format: Optional[str]) -> np.ndarray:
    if not file_name.lower().endswith(_NARROW_SUFFIXES):
        with PathManager.open(file_name, "rb") as file:
            image = Image.open(file)
            if image.mode in WIDE_MODES:
                values = np.asarray(ImageOps.exif_transpose(image))
                return detection_utils.convert_PIL_to_numpy(
                    Image.fromarray(to_8_bits(values)), format
                )
    return _read_narrow(file_name, format)


def to_8_bits(values: np.ndarray) -> np.ndarray:
    """Stretch values from their least to their greatest over 0 to 255.

    Args:
        values: (H, W) of any number type; what is not finite becomes 0.

    Returns:
        (H, W) uint8; all 0 if there is only one value.
    """
    values = values.astype(np.float64)
    finite = np.isfinite(values)
    if not finite.any():
        return np.zeros(values.shape, np.uint8)
    low, high = values[finite].min(), values[finite].max()
    scaled = np.where(finite, values - low, 0.0) * (255.0 / ((high - low) or 1.0))
    return np.rint(scaled).astype(np.uint8)


def list_pictures(root: str | Path) -> list[Path]:
    """Return all files below a folder with a picture's suffix, sorted; links are followed.

    A folder that several links lead to is read once, so that a link to a parent ends.
    """
    found: list[Path] = []
    seen: set[str] = set()
    for folder, below, names in os.walk(root, followlinks=True):
        below.sort()
        real = os.path.realpath(folder)
        if real in seen:
            below.clear()
            continue
        seen.add(real)
        paths = (Path(folder, name) for name in names if name.lower().endswith(IMAGE_SUFFIXES))
        found += [path for path in paths if path.is_file()]
    return sorted(found)
