"""Pictures to predict on, one by one, without their labels."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, DatasetMapper, build_detection_test_loader

from .checked_mapper import CheckedMapper
from .datasets import register_image_folder
from .validate import check_registered


def get_picture_dicts(
    names: Sequence[str], folder: str | None = None, skip_unreadable: bool = False
) -> list[dict[str, Any]]:
    """Return the records of data sets, or of the pictures below a folder in their place.

    Args:
        names: registered data sets.
        folder: of pictures.
        skip_unreadable: leave out, with a warning, what cannot be read below ``folder``.

    Raises:
        KeyError: a name is not registered.
        FileNotFoundError: the folder is missing or holds no picture.
    """
    if folder:
        names = [f"images of {os.path.abspath(folder)}"]
        register_image_folder(names[0], folder, skip_unreadable)
    for name in names:
        check_registered(name)
    return [record for name in names for record in DatasetCatalog.get(name)]


def build_picture_loader(cfg: CfgNode, records: Sequence[dict[str, Any]], num_workers: int) -> Any:
    """Return a loader of single pictures, read as for evaluation; annotations are not loaded."""
    mapper = CheckedMapper(DatasetMapper(cfg, False))
    return build_detection_test_loader(list(records), mapper=mapper, num_workers=num_workers)
