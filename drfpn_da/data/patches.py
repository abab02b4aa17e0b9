"""Records and mapper of whole images with one class each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode, configurable
from detectron2.data import DatasetCatalog, detection_utils
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2

from ..labels import random_order
from ..node_arguments import arguments
from .subset import pick_named, pick_random, read_names
from .validate import check_registered, class_names

#: Meta-architectures that are trained on such records.
PATCH_MODELS = ("PatchClassifier", "SoftLabelClassifier")
#: Field of a record with the row of its soft label.
SAMPLE_INDEX = "sample_index"

Records = list[dict[str, Any]]


class PatchMapper:
    """From a record to a picture of fixed size, and to its class if the record has one.

    A sample has "image", (3, H, W) uint8, and of the record "file_name", "height", "width",
    "image_id", "class_id" and "sample_index" where there. In training the picture is moved,
    flipped and jittered in colour; a sample without class then also has "clean_image", the picture
    as in evaluation, from which its soft label is made. With ``clean_labelled`` all samples have.

    Args:
        is_train: augment.
        size: (H, W).
        pad: largest shift in pixels.
        flip: "horizontal" or "none".
        color_jitter: see ``INPUT.PATCH.COLOR_JITTER``.
        image_format: as for detectron2's ``read_image``; "RGB" or "BGR".
        clean_labelled: give samples with a class "clean_image", too, for labels by the statistics
            of whole batches.

    Raises:
        ValueError: an argument out of range; names the key.
    """

    @configurable
    def __init__(
        self,
        is_train: bool,
        *,
        size: Sequence[int] = (32, 32),
        pad: int = 4,
        flip: str = "horizontal",
        color_jitter: Sequence[float] = (),
        image_format: str = "RGB",
        clean_labelled: bool = False,
    ) -> None:
        if len(size) != 2 or min(size) < 1:
            raise ValueError(f"INPUT.PATCH.SIZE is {list(size)}; write [height, width]")
        if not 0 <= pad < min(size):
            raise ValueError(f"INPUT.PATCH.PAD is {pad}; write 0 to {min(size) - 1}")
        if flip not in ("horizontal", "none"):
            raise ValueError(
                f"INPUT.RANDOM_FLIP is '{flip}'; a classifier knows 'horizontal' and 'none'"
            )
        if len(color_jitter) not in (0, 4):
            raise ValueError(
                f"INPUT.PATCH.COLOR_JITTER is {list(color_jitter)}; write four numbers or []"
            )
        if image_format not in ("RGB", "BGR"):
            raise ValueError(f"INPUT.FORMAT is '{image_format}'; a classifier knows RGB and BGR")
        self.is_train, self._pad, self._flip = is_train, pad, flip
        self._size = (int(size[0]), int(size[1]))
        self._format, self._clean_labelled = image_format, clean_labelled
        self._jitter = v2.ColorJitter(*color_jitter) if color_jitter else None

    @classmethod
    def from_config(cls, cfg: CfgNode, is_train: bool) -> dict[str, Any]:
        """Read ``INPUT.PATCH``, ``INPUT.RANDOM_FLIP``, ``INPUT.FORMAT`` and how labels are made."""
        return {
            **arguments(cfg.INPUT.PATCH),
            "is_train": is_train,
            "flip": cfg.INPUT.RANDOM_FLIP,
            "image_format": cfg.INPUT.FORMAT,
            "clean_labelled": cfg.MODEL.SOFT_LABELS.BATCH_STATISTICS,
        }

    def __call__(self, record: dict[str, Any]) -> dict[str, Any]:
        """Map a record; random numbers are torch's global ones."""
        sample = dict(record)
        picture = detection_utils.read_image(record["file_name"], format=self._format)
        if picture.shape[:2] != self._size:
            resized = Image.fromarray(picture).resize(
                (self._size[1], self._size[0]), Image.Resampling.BILINEAR
            )
            picture = np.asarray(resized)
        clean = torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))
        sample["image"] = self._augment(clean) if self.is_train else clean
        if self.is_train and (self._clean_labelled or "class_id" not in record):
            sample["clean_image"] = clean
        return sample

    def _augment(self, picture: Tensor) -> Tensor:
        if self._pad:
            up, left = torch.randint(2 * self._pad + 1, (2,)).tolist()
            height, width = self._size
            wide = v2.functional.pad(picture, [self._pad], padding_mode="reflect")
            picture = wide[:, up : up + height, left : left + width]
        if self._flip == "horizontal" and torch.rand(()) < 0.5:
            picture = picture.flip(-1)
        if self._jitter is not None:
            channels = (2, 1, 0) if self._format == "BGR" else (0, 1, 2)
            picture = self._jitter(picture[list(channels)])[list(channels)]
        return picture.contiguous()


def load_patches(names: Sequence[str], key: str = "DATASETS.TRAIN") -> Records:
    """Return the records of data sets of whole pictures.

    Args:
        names: registered data sets.
        key: config key of the names, for messages.

    Raises:
        KeyError: a name is not registered.
        ValueError: a record has no class, or one outside the class names.
    """
    records: Records = []
    for name in names:
        check_registered(name)
        count = len(class_names(name) or ())
        for record in DatasetCatalog.get(name):
            if not isinstance(record.get("class_id"), int):
                raise ValueError(
                    f"{record['file_name']} of '{name}' ({key}) has no class_id: a classifier "
                    "needs a data set of whole pictures with a class each, such as cifar10n_train"
                )
            if not 0 <= record["class_id"] < count:
                raise ValueError(
                    f"{record['file_name']} of '{name}' ({key}) has class_id "
                    f"{record['class_id']}, but the data set has {count} classes"
                )
            records.append(record)
    return records


def labelled_patches(cfg: CfgNode, records: Records) -> Records:
    """Return the records that DATASETS.LABELLED leaves, all of them if it asks nothing.

    With COUNT alone, classes take turns in an order that depends on SEED: each class gets the same
    number, or one more, and a larger choice contains a smaller one.

    Raises:
        ValueError: see :func:`drfpn_da.data.subset.pick_random` and ``pick_named``.
        FileNotFoundError: the file of names is missing.
    """
    node = cfg.DATASETS.LABELLED
    if node.FILE:
        return pick_named(records, read_names(node.FILE), node.FILE, node.COUNT)
    if not node.COUNT:
        return records
    pick_random(records, node.COUNT, node.SEED)  # refuses impossible numbers
    turns: list[tuple[int, int, int]] = []
    seen: dict[int, int] = {}
    for i in random_order(len(records), node.SEED):
        number = records[i]["class_id"]
        seen[number] = seen.get(number, 0) + 1
        turns.append((seen[number], number, i))
    return [records[i] for _, _, i in sorted(turns)[: node.COUNT]]
