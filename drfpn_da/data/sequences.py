"""Samples of three neighbouring frames with intrinsics, for depth from video."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode, configurable
from detectron2.data import DatasetCatalog, detection_utils
from detectron2.data import transforms as T
from torch import Tensor
from torchvision.transforms import v2

from ..node_arguments import arguments
from .checked_mapper import Mapper
from .intrinsics import check_intrinsics, transform_intrinsics
from .loader import build_train_loader, loader_options
from .recorded import record_transforms
from .validate import check_registered

logger = logging.getLogger(__name__)

#: Fields with the files of the frames, in temporal order.
FRAME_FILES = ("previous_file_name", "file_name", "next_file_name")
#: The same frames in a sample.
FRAME_IMAGES = ("previous_image", "image", "next_image")
#: Fields of a record that a target picture keeps for depth from video; no labels.
SEQUENCE_FIELDS = ("previous_file_name", "next_file_name", "intrinsics")
#: Meta-architectures that are trained on such samples.
SEQUENCE_MODELS = ("SelfSupervisedDepth",)


class SequenceMapper:
    """Reads a frame and its neighbours, transforms them alike, and the intrinsics with them.

    Args:
        augmentations: of detectron2; geometric ones must be affine.
        image_format: as for detectron2's ``read_image``.
        color_jitter: largest changes of brightness, contrast, saturation and hue, the same for all
            frames.
        color_jitter_prob: probability of the jitter. Where it is applied, the sample has
            "jittered", (3, C, H, W), beside the frames as they are.
    """

    @configurable
    def __init__(
        self,
        *,
        augmentations: Sequence[T.Augmentation | T.Transform],
        image_format: str = "RGB",
        color_jitter: Sequence[float] = (0.2, 0.2, 0.2, 0.1),
        color_jitter_prob: float = 0.0,
    ) -> None:
        self.augmentations = T.AugmentationList(augmentations)
        self._format = image_format
        self._jitter = v2.ColorJitter(*color_jitter)
        self._jitter_prob = color_jitter_prob

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Read the keys of ``INPUT`` that detectron2's mapper reads, and ``INPUT.SEQUENCE``."""
        augmentations = detection_utils.build_augmentation(cfg, True)
        if cfg.INPUT.CROP.ENABLED:
            augmentations.insert(0, T.RandomCrop(cfg.INPUT.CROP.TYPE, cfg.INPUT.CROP.SIZE))
        return {
            "augmentations": augmentations,
            "image_format": cfg.INPUT.FORMAT,
            **arguments(cfg.INPUT.SEQUENCE),
        }

    def __call__(self, record: dict[str, Any]) -> dict[str, Any]:
        """Map a record with the fields of :data:`FRAME_FILES` and "intrinsics".

        Returns:
            "image", "previous_image", "next_image", (C, H, W) uint8, "intrinsics", (3, 3) float32
            of pictures of that size, and "file_name".

        Raises:
            ValueError: no neighbour or no intrinsics; frames of different sizes; intrinsics of
                another size.
        """
        _refuse_incomplete(record)
        frames = [
            detection_utils.read_image(record[key], format=self._format) for key in FRAME_FILES
        ]
        size = frames[1].shape[:2]
        for key, frame in zip(FRAME_FILES, frames):
            _refuse_other_size(record, key, frame, size)
        intrinsics = check_intrinsics(record["intrinsics"], size, record["file_name"])
        entry = T.AugInput(frames[1])
        transforms = self.augmentations(entry)
        frames = [transforms.apply_image(frames[0]), entry.image, transforms.apply_image(frames[2])]
        pictures = torch.stack(
            [torch.from_numpy(np.ascontiguousarray(f.transpose(2, 0, 1))) for f in frames]
        )
        moved = transform_intrinsics(intrinsics, transforms)
        sample: dict[str, Any] = {
            "file_name": record["file_name"],
            "height": size[0],
            "width": size[1],
            "intrinsics": torch.from_numpy(moved.astype(np.float32)),
            **dict(zip(FRAME_IMAGES, pictures)),
        }
        if float(torch.rand(())) < self._jitter_prob:
            sample["jittered"] = self._jittered(pictures)
        return sample

    def _jittered(self, pictures: Tensor) -> Tensor:
        # Drawn once for all frames, or the photometric relation between them would be lost.
        if self._format == "BGR":
            return self._jitter(pictures.flip(1)).flip(1)
        jittered: Tensor = self._jitter(pictures)
        return jittered


class NeighbourMapper:
    """Adds the frames before and after, and the intrinsics, to the samples of a mapper.

    They follow the transforms of the picture. Nothing else is changed: labels and colours are the
    mapper's business.

    Args:
        mapper: with detectron2's ``augmentations`` and ``image_format``, as ``DatasetMapper``; it
            is copied.
        required: refuse records without neighbours or intrinsics; else they pass as they are.

    Raises:
        ValueError: the mapper has no augmentations to follow.
    """

    def __init__(self, mapper: Any, required: bool = True) -> None:
        self._mapper: Mapper
        self._mapper, self.augmentations = record_transforms(mapper, "neighbouring frames")
        self.image_format, self._required = mapper.image_format, required

    def __call__(self, record: dict[str, Any]) -> dict[str, Any] | None:
        """Return the sample with the fields of :class:`SequenceMapper`, without jitter.

        Raises:
            ValueError: as :class:`SequenceMapper`.
        """
        if self._required:
            _refuse_incomplete(record)
        sample: dict[str, Any] | None = self._mapper(record)
        if sample is None or _missing(record):
            return sample
        size, transforms = self.augmentations.size, self.augmentations.transforms
        for key, image in ((FRAME_FILES[0], FRAME_IMAGES[0]), (FRAME_FILES[2], FRAME_IMAGES[2])):
            frame = detection_utils.read_image(record[key], format=self.image_format)
            _refuse_other_size(record, key, frame, size)
            moved = transforms.apply_image(frame).transpose(2, 0, 1)
            sample[image] = torch.from_numpy(np.ascontiguousarray(moved))
        intrinsics = check_intrinsics(record["intrinsics"], size, record["file_name"])
        matrix = transform_intrinsics(intrinsics, transforms)
        sample["intrinsics"] = torch.from_numpy(matrix.astype(np.float32))
        return sample


def _missing(record: dict[str, Any]) -> list[str]:
    return [key for key in (*FRAME_FILES, "intrinsics") if record.get(key) is None]


def _refuse_incomplete(record: dict[str, Any]) -> None:
    missing = _missing(record)
    if missing:
        raise ValueError(
            f"{record['file_name']}: the record has no {' and no '.join(missing)}; depth from "
            "video needs the frames before and after and the camera's intrinsics. Leave such "
            "records out with get_sequence_dicts"
        )


def _refuse_other_size(
    record: dict[str, Any], key: str, frame: np.ndarray, size: tuple[int, int]
) -> None:
    if frame.shape[:2] != size:
        raise ValueError(
            f"{record[key]} is {frame.shape[1]}x{frame.shape[0]}, but {record['file_name']}"
            f" is {size[1]}x{size[0]}: frames of a sequence have one size"
        )


def keep_sequences(
    records: Sequence[dict[str, Any]], name: str, key: str = "DATASETS.TRAIN"
) -> list[dict[str, Any]]:
    """Return the records with both neighbours and intrinsics; how many are left out is logged.

    Args:
        records: of a data set.
        name: of the data set, for messages.
        key: of the config where it is named.

    Raises:
        ValueError: there is no such record.
    """
    whole = [r for r in records if not _missing(r)]
    if not whole:
        raise ValueError(
            f"data set '{name}' ({key}) has no picture with previous_file_name, "
            "next_file_name and intrinsics: depth from video needs a data set of sequences, "
            "for example streets_mini_clear_sequences"
        )
    logger.info(
        "%s: %d frames with both neighbours; %d without are left out.",
        name,
        len(whole),
        len(records) - len(whole),
    )
    return whole


def get_sequence_dicts(names: str | Sequence[str]) -> list[dict[str, Any]]:
    """Return the records of data sets that have both neighbours and intrinsics.

    Left out are, for example, the first and last frame of each sequence.

    Args:
        names: registered data sets.

    Raises:
        KeyError: a name is not registered.
        ValueError: a data set has no such record.
    """
    kept = []
    for name in [names] if isinstance(names, str) else names:
        check_registered(name)
        kept += keep_sequences(DatasetCatalog.get(name), name)
    return kept


def build_sequence_loader(cfg: CfgNode) -> Any:
    """Build the training loader of ``DATASETS.TRAIN`` for a model in :data:`SEQUENCE_MODELS`."""
    records = get_sequence_dicts(cfg.DATASETS.TRAIN)
    return build_train_loader(records, mapper=SequenceMapper(cfg), **loader_options(cfg))
