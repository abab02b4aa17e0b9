"""VOC to Clipart1k, Watercolor2k and Comic2k (Inoue et al., arXiv 1803.11365)."""

from __future__ import annotations

from functools import partial

from detectron2.data.datasets.pascal_voc import CLASS_NAMES

from .coco_files import register_derived
from .paths import require_layout
from .voc_format import load_voc_format, read_ids

SIX_CLASSES = ["bicycle", "bird", "car", "cat", "dog", "person"]
# Benchmark -> (folder, classes, splits: name -> files of ImageSets/Main). Clipart1k is adapted on
# and tested on with all its 1,000 pictures.
ART = {
    "clipart1k": (
        "clipart",
        list(CLASS_NAMES),
        {"train": ["train"], "test": ["test"], "all": ["train", "test"]},
    ),
    "watercolor2k": ("watercolor", SIX_CLASSES, {"train": ["train"], "test": ["test"]}),
    "comic2k": ("comic", SIX_CLASSES, {"train": ["train"], "test": ["test"]}),
}
LAYOUT = """
{folder}/
  JPEGImages/*.jpg
  Annotations/*.xml
  ImageSets/Main/{lists}   one picture name a line
"""


def load_art(benchmark: str, split: str) -> list[dict]:
    """Load a split of Clipart1k, Watercolor2k or Comic2k as detectron2 data set dicts.

    Raises:
        FileNotFoundError: data missing.
        ValueError: an annotation file or a list of pictures is not readable.
    """
    folder, classes, splits = ART[benchmark]
    return _load(f"{benchmark}_{split}", folder, splits[split], classes)


def load_six_of_voc(year: int, split: str) -> list[dict]:
    """Load VOC with the six classes of Watercolor2k and Comic2k; other objects are background.

    Raises:
        FileNotFoundError: data missing.
        ValueError: an annotation file or a list of pictures is not readable.
    """
    return _load(f"voc_six_{year}_{split}", f"VOC{year}", [split], SIX_CLASSES)


def _load(name: str, folder: str, lists: list[str], classes: list[str]) -> list[dict]:
    files = [f"ImageSets/Main/{part}.txt" for part in lists]
    layout = LAYOUT.format(folder=folder, lists=",".join(f"{part}.txt" for part in lists))
    root = require_layout(name, folder, ["JPEGImages", "Annotations", *files], layout)
    ids = [i for file in files for i in read_ids(root / file)]
    return load_voc_format(name, root, ids, classes)


def register() -> None:
    """Register ``clipart1k_*``, ``watercolor2k_*``, ``comic2k_*`` and ``voc_six_*``."""
    for benchmark, (_, classes, splits) in ART.items():
        for split in splits:
            register_derived(f"{benchmark}_{split}", partial(load_art, benchmark, split), classes)
    for year, split in ((2007, "trainval"), (2012, "trainval"), (2007, "test")):
        name = f"voc_six_{year}_{split}"
        register_derived(name, partial(load_six_of_voc, year, split), SIX_CLASSES)
