"""CIFAR-10N: 32x32 pictures of ten classes, with clean labels and those of human annotators.

Krizhevsky, Learning multiple layers of features from tiny images, 2009; Wei et al.,
arXiv 2110.12088 (the human labels). Any subset in one ``cifar10n_*.npz`` file will do.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from ...files import cache_root
from .catalog import register_dataset
from .paths import build_once, fingerprint, require_layout

FILE = "cifar10n_4000.npz"
CLASSES = [
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
]
#: Suffix of the registered name -> array with the labels. Test labels are always clean.
LABELS = {
    "": "clean_label",
    "_aggre": "aggre_label",
    "_worse": "worse_label",
    "_random1": "random_label1",
    "_random2": "random_label2",
    "_random3": "random_label3",
}
# Of the pictures of a class in the order of their place in CIFAR-10, the last quarter tests.
TEST_SHARE = 4
LAYOUT = f"""
cifar10n/
  {FILE}    arrays images (N, 32, 32, 3) uint8 RGB, cifar_index, clean_label, names,
                        and aggre_label, worse_label, random_label1-3 (N,)
"""


def load_cifar10n(split: str, labels: str = "") -> list[dict]:
    """Load one split as records of whole pictures.

    The file's pictures are written once as PNG into the cache, so that everything that reads
    pictures by name works.

    Args:
        split: "train" or "test".
        labels: a key of :data:`LABELS`.

    Returns:
        Records with "file_name", "height", "width", "image_id" (the place in CIFAR-10) and
        "class_id".

    Raises:
        FileNotFoundError: data missing.
        ValueError: the file lacks an array, has other class names, or a label out of range.
    """
    name = f"cifar10n_{split}{labels}"
    source = require_layout(name, "cifar10n", [FILE], LAYOUT) / FILE
    arrays = _read(source, ["names", "clean_label", "cifar_index", LABELS[labels]])
    found = [str(n) for n in arrays["names"]]
    if found != CLASSES:
        raise ValueError(f"{source}: names are {found}, expected {CLASSES}")
    given = arrays[LABELS[labels]]
    if given.min() < 0 or given.max() >= len(CLASSES):
        raise ValueError(f"{source}: {LABELS[labels]} has values outside 0-{len(CLASSES) - 1}")
    target = cache_root() / "cifar10n" / fingerprint([source])
    folder = build_once(target, partial(_write_pictures, source))
    return [
        {
            "file_name": str(folder / _file_name(arrays["cifar_index"][i])),
            "height": 32,
            "width": 32,
            "image_id": int(arrays["cifar_index"][i]),
            "class_id": int(given[i]),
        }
        for i in _members(arrays["clean_label"], arrays["cifar_index"], split)
    ]


def _members(classes: np.ndarray, places: np.ndarray, split: str) -> list[int]:
    """Return the rows of a split: of each class the first three quarters, or the last one."""
    chosen: list[int] = []
    for number in range(len(CLASSES)):
        rows = np.flatnonzero(classes == number)
        rows = rows[np.argsort(places[rows], kind="stable")]
        cut = len(rows) - len(rows) // TEST_SHARE
        chosen += (rows[cut:] if split == "test" else rows[:cut]).tolist()
    return chosen


def _read(source: Path, names: list[str]) -> dict[str, np.ndarray]:
    with np.load(source, allow_pickle=False) as data:
        missing = [name for name in names if name not in data]
        if missing:
            raise ValueError(f"{source} has no array '{missing[0]}'; it should have:\n{LAYOUT}")
        return {name: data[name] for name in names}


def _write_pictures(source: Path, folder: Path) -> None:
    arrays = _read(source, ["images", "cifar_index"])
    if arrays["images"].shape[1:] != (32, 32, 3) or arrays["images"].dtype != np.uint8:
        raise ValueError(
            f"{source}: images are {arrays['images'].shape} {arrays['images'].dtype}, expected "
            "(N, 32, 32, 3) uint8"
        )
    for picture, place in zip(arrays["images"], arrays["cifar_index"]):
        Image.fromarray(picture).save(folder / _file_name(place))


def _file_name(place: int) -> str:
    return f"{int(place):05d}.png"


def register() -> None:
    """Register ``cifar10n_train``, ``cifar10n_test`` and ``cifar10n_train_<annotators>``."""
    names = [("test", ""), *(("train", suffix) for suffix in LABELS)]
    for split, suffix in names:
        register_dataset(
            f"cifar10n_{split}{suffix}",
            partial(load_cifar10n, split, suffix),
            thing_classes=CLASSES,
            evaluator_type="classification",
        )
