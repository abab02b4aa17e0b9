"""Two streams in one batch: labelled source pictures, then target pictures without labels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from detectron2.config import CfgNode, configurable
from detectron2.data import DatasetMapper
from detectron2.data.build import get_detection_dataset_dicts
from detectron2.utils import comm

from .loader import TrainLoader, build_train_loader
from .seeding import Stream, derive_seed
from .target_mapper import TargetMapper


class TwoStreamLoader:
    """Endless iterable of batches, source samples first; target samples say so in ``domain``.

    Args:
        source: loader of labelled samples.
        target: loader of target samples.
    """

    def __init__(self, source: TrainLoader, target: TrainLoader) -> None:
        self.source, self.target = source, target

    @property
    def start_iter(self) -> int:
        """Iteration whose batch comes first, of both streams."""
        return self.source.start_iter

    @start_iter.setter
    def start_iter(self, iteration: int) -> None:
        self.source.start_iter = self.target.start_iter = iteration

    @property
    def file_names(self) -> list[str]:
        """Pictures of the batch given out last."""
        return [*self.source.file_names, *self.target.file_names]

    def __iter__(self) -> Iterator[list[dict[str, Any]]]:
        for source, target in zip(self.source, self.target):
            yield [*source, *target]


def _from_config(cfg: CfgNode) -> dict[str, Any]:
    if not cfg.DATASETS.TARGET:
        raise ValueError(
            "DATASETS.TARGET is empty, but MODEL.ADAPT.OBJECTIVES "
            f"{list(cfg.MODEL.ADAPT.OBJECTIVES)} need target pictures: name a data set, register a "
            "folder of pictures (--register-images NAME FOLDER), or write MODEL.ADAPT.BASELINE "
            "source_only"
        )
    return {"source": build_train_loader(cfg), "target": _build_target_loader(cfg)}


def _build_target_loader(cfg: CfgNode) -> TrainLoader:
    names = cfg.DATASETS.TARGET
    records = get_detection_dataset_dicts(names, filter_empty=False, check_consistency=False)
    seed = cfg.SEED if cfg.SEED >= 0 else comm.shared_random_seed()
    loader: TrainLoader = build_train_loader(
        records,
        mapper=TargetMapper(DatasetMapper(cfg, True)),
        total_batch_size=cfg.SOLVER.TARGET_IMS_PER_BATCH or cfg.SOLVER.IMS_PER_BATCH,
        aspect_ratio_grouping=cfg.DATALOADER.ASPECT_RATIO_GROUPING,
        num_workers=cfg.DATALOADER.NUM_WORKERS,
        seed=derive_seed(seed, Stream.TARGET),
    )
    return loader


@configurable(from_config=_from_config)
def build_two_stream_loader(source: TrainLoader, target: TrainLoader) -> TwoStreamLoader:
    """Join two loaders; or build both from a config.

    With a config, the source is ``DATASETS.TRAIN`` with ``SOLVER.IMS_PER_BATCH`` pictures, exactly
    those of a run without target, and the target ``DATASETS.TARGET`` with
    ``SOLVER.TARGET_IMS_PER_BATCH``.

    Args:
        source: loader of labelled samples.
        target: loader of target samples.

    Raises:
        ValueError: no target data set.
    """
    return TwoStreamLoader(source, target)


def build_adaptation_loader(cfg: CfgNode) -> Any:
    """Return the training loader that a config asks for, with or without a target stream.

    ``MODEL.ADAPT.BASELINE`` "source_only" gives the source stream alone, and "oracle" the target
    data sets with their labels in its place.
    """
    if cfg.MODEL.META_ARCHITECTURE != "AdaptiveModel":
        return build_train_loader(cfg)
    if cfg.MODEL.ADAPT.BASELINE == "oracle":
        cfg = cfg.clone()
        cfg.defrost()
        cfg.DATASETS.TRAIN = cfg.DATASETS.TARGET
        return build_train_loader(cfg)
    if cfg.MODEL.ADAPT.BASELINE or not cfg.MODEL.ADAPT.OBJECTIVES:
        return build_train_loader(cfg)
    return build_two_stream_loader(cfg)
