"""Disparity beside a picture: read from a file, moved as the picture is moved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from ..functional import normalize_disparity
from .checked_mapper import Mapper
from .recorded import record_transforms

#: Fields of a record that say where its disparity is; no labels.
DISPARITY_FIELDS = ("disparity_file_name", "disparity_scale")
SUFFIXES = (".png", ".npy")


class DisparityMapper:
    """Adds "disparity" to the samples of a mapper.

    Geometric transforms (resizing, flip, crop) move it as they move labels, to the nearest pixel:
    no values between a thing and what is behind it. They do not change its values, for these are
    compared among pictures of one size. Photometric transforms leave it alone.

    Args:
        mapper: with detectron2's ``augmentations``, as ``DatasetMapper``; it is copied.
        root: folder with a file for each picture, as ``drfpn-da depth`` writes it; "": the
            file of the record's "disparity_file_name".
        normalize: stretch the disparity of the whole picture to [0, 1], before the transforms (as
            the published code of arXiv 2012.10782 does), so that what a crop shows does not change
            the values of what is in it. False: leave it in the unit of the file.

    Raises:
        ValueError: the mapper has no augmentations to follow.
    """

    def __init__(self, mapper: Any, root: str = "", normalize: bool = True) -> None:
        self._mapper: Mapper
        self._mapper, self.augmentations = record_transforms(mapper, "disparity")
        self._root, self._normalize = root, normalize

    def __call__(self, record: dict[str, Any]) -> dict[str, Any] | None:
        """Return the sample with "disparity", (H, W) float32 of the size of "image".

        Raises:
            FileNotFoundError: no disparity file.
            ValueError: the record names none; a file that cannot be read or of another size.
        """
        path = find_disparity(record, self._root)
        sample: dict[str, Any] | None = self._mapper(record)
        if sample is None:
            return None
        disparity = read_disparity(path, None if self._root else record.get("disparity_scale"))
        size = self.augmentations.size
        if disparity.shape != size:
            raise ValueError(
                f"{path} has {disparity.shape[1]}x{disparity.shape[0]} pixels, but its picture "
                f"{record['file_name']} has {size[1]}x{size[0]}: write disparity at the size of "
                "the picture, for example with drfpn-da depth (tools/predict_depth.py)"
            )
        if self._normalize:
            disparity = normalize_disparity(torch.from_numpy(disparity)[None])[0].numpy()
        moved = self.augmentations.transforms.apply_segmentation(disparity)
        sample["disparity"] = torch.from_numpy(np.ascontiguousarray(moved))
        return sample


def find_disparity(record: dict[str, Any], root: str = "") -> Path:
    """Return the disparity file of a record; see :class:`DisparityMapper`.

    Below ``root`` it has the picture's name with ``.png`` or ``.npy``, and lies as deep as the
    trailing folders of the picture agree.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the record names none.
    """
    if not root:
        if "disparity_file_name" not in record:
            raise ValueError(
                f"the record of {record['file_name']} has no disparity_file_name: write disparity "
                "with drfpn-da depth and name its folder in INPUT.DISPARITY.ROOT"
            )
        path = Path(record["disparity_file_name"])
        if not path.is_file():
            raise FileNotFoundError(
                f"{path} (disparity of {record['file_name']}) does not exist: restore it, or write "
                "disparity with drfpn-da depth (tools/predict_depth.py) and name its folder in "
                "INPUT.DISPARITY.ROOT"
            )
        return path
    parts = Path(record["file_name"]).with_suffix("").parts
    # The longest agreeing path first, so that pictures of one name in two folders stay apart.
    for start in range(1, len(parts)):
        for suffix in SUFFIXES:
            path = Path(root, *parts[start:])
            path = path.with_name(path.name + suffix)
            if path.is_file():
                return path
    raise FileNotFoundError(
        f"{root} (INPUT.DISPARITY.ROOT) has no {parts[-1]}.png or .npy for {record['file_name']}: "
        "write it with drfpn-da depth (tools/predict_depth.py)"
    )


def read_disparity(path: Path, scale: float | None = None) -> np.ndarray:
    """Read (H, W) float32 disparity, larger is nearer.

    Args:
        path: PNG of 8 or 16 bits, or NPY, whose values are taken as they are.
        scale: stored value of disparity 1 in a PNG; None: the largest of its type.

    Raises:
        ValueError: the file is damaged, has several channels, or values that are not finite.
    """
    try:
        if path.suffix == ".npy":
            values = np.load(path, allow_pickle=False)
        else:
            with Image.open(path) as file:
                values = np.array(file)
    except (OSError, ValueError, SyntaxError) as error:
        raise ValueError(f"{path} is no readable disparity ({error}): write it anew") from error
    if values.ndim != 2:
        raise ValueError(
            f"{path} has shape {values.shape}; disparity is (H, W): store one channel per file"
        )
    if path.suffix != ".npy":
        # Some versions of Pillow read 16 bits as 32.
        values = values / float(scale or (255 if values.dtype == np.uint8 else 65535))
    values = values.astype(np.float32)
    if not np.isfinite(values).all():
        raise ValueError(f"{path} has values that are not finite: write 0 where nothing is known")
    return values
