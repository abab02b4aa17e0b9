"""Writing pictures without losing any."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from PIL import Image

from ..files import save_new


def save_picture(image: np.ndarray, path: str | os.PathLike) -> Path:
    """Write a picture under a free name; see :func:`drfpn_da.files.save_new`.

    Args:
        image: (H, W, 3) uint8 RGB.
        path: ends in the format's suffix, for example ``.png``.
    """
    return save_new(path, Image.fromarray(image).save)
