"""Two streams in one batch: labelled source pictures, then target pictures without labels.

Each stream has a seed of its own, derived from the run's, so that the source pictures of a step are
the same with and without a target, and either stream is a function of seed and iteration alone.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import torch.utils.data as torchdata
from detectron2.config import CfgNode, configurable
from detectron2.data import DatasetCatalog, DatasetMapper

from .checked_mapper import Mapper, SkipUnreadable
from .disparity import DISPARITY_FIELDS, DisparityMapper
from .given_labels import GIVEN_FILE, GivenLabelMapper, give_labels, gives_labels
from .loader import TrainLoader, build_train_loader, check_batch_size, loader_options
from .seeding import Stream, derive_seed
from .sequences import SEQUENCE_FIELDS, NeighbourMapper, keep_sequences
from .subset import training_records
from .target_mapper import TargetMapper, picture_only
from .validate import adapts, check_registered, require_target
from .view_geometry import GeometryMapper
from .views import View, ViewMapper, build_views

logger = logging.getLogger(__name__)

#: Pictures with labels that are looked for among those without.
COMPARED = 2000


class TwoStreamLoader:
    """Iterable of batches, source samples first; target samples say so in ``domain``.

    It ends with the source; a :class:`TrainLoader` has no end.

    Args:
        source: loader of labelled samples, or any other iterable of batches (``list[dict]``), which
            begins where it likes.
        target: loader of target samples.
    """

    def __init__(self, source: Iterable[Any], target: TrainLoader) -> None:
        self.source: Any = source
        self.target = target

    @property
    def start_iter(self) -> int | None:
        """Iteration whose batch comes first, of both streams; see :class:`TrainLoader`."""
        return self.target.start_iter

    @start_iter.setter
    def start_iter(self, iteration: int | None) -> None:
        self.target.start_iter = iteration
        if hasattr(self.source, "start_iter"):
            self.source.start_iter = iteration

    @property
    def file_names(self) -> list[str]:
        """Pictures of the batch given out last, as far as the loaders tell."""
        return [*getattr(self.source, "file_names", ()), *self.target.file_names]

    def __iter__(self) -> Iterator[list[dict[str, Any]]]:
        for source, target in zip(self.source, self.target):
            if not isinstance(source, (list, tuple)):
                raise TypeError(
                    f"the training loader gives a {type(source).__name__}, but target pictures are "
                    "added to batches that are lists of data set dicts: give add_target a loader "
                    "of such batches"
                )
            yield [*source, *target]


def get_target_dicts(names: str | Sequence[str], keep: Sequence[str] = ()) -> Any:
    """Return the records of target data sets without their labels, none of them left out.

    Args:
        names: one or several registered data sets.
        keep: further fields to keep, as for ``TargetMapper``.

    Returns:
        List of dicts; for map-style data sets of torch, the data set, whose records
        ``TargetMapper`` strips.

    Raises:
        KeyError: a name is not registered.
        ValueError: a data set has no picture.
    """
    names = [names] if isinstance(names, str) else list(names)
    for name in names:
        check_registered(name, "DATASETS.TARGET")
    sets = [DatasetCatalog.get(name) for name in names]
    for name, records in zip(names, sets):
        if not len(records):
            raise ValueError(f"target data set '{name}' (DATASETS.TARGET) has no picture")
    if any(isinstance(records, torchdata.Dataset) for records in sets):
        return torchdata.ConcatDataset(sets)
    return [picture_only(record, keep) for record in chain(*sets)]


def _target_from_config(cfg: CfgNode, mapper: Mapper | None = None) -> dict[str, Any]:
    require_target(cfg)
    mapper = mapper or DatasetMapper(cfg, True)
    sequences = "SelfSupervisedDepth" in cfg.MODEL.ADAPT.OBJECTIVES
    keep: tuple[str, ...] = ()
    if sequences:
        _refuse_changed_colours(cfg)
        mapper, keep = NeighbourMapper(mapper), SEQUENCE_FIELDS
    if cfg.INPUT.DISPARITY.ENABLED:
        normalize = cfg.MODEL.DEPTH_MIX.COMPARE == "normalized_disparity"
        mapper = DisparityMapper(mapper, cfg.INPUT.DISPARITY.ROOT, normalize)
        keep = (*keep, *DISPARITY_FIELDS)
    if cfg.MODEL.PSEUDO_LABEL.STORE.ENABLED:
        mapper = GeometryMapper(mapper, "MODEL.PSEUDO_LABEL.STORE")
    if gives_labels(cfg):
        head = cfg.MODEL.SEM_SEG_HEAD
        mapper = GivenLabelMapper(mapper, head.NUM_CLASSES, head.IGNORE_VALUE)
    dataset = get_target_dicts(cfg.DATASETS.TARGET, keep)
    if sequences and isinstance(dataset, list):
        dataset = keep_sequences(dataset, ", ".join(cfg.DATASETS.TARGET), "DATASETS.TARGET")
    if gives_labels(cfg):
        dataset, keep = give_labels(dataset, training_records(cfg)), (*keep, GIVEN_FILE)
    return {
        **loader_options(cfg),
        "dataset": dataset,
        "mapper": mapper,
        "keep": keep,
        "total_batch_size": cfg.SOLVER.TARGET_IMS_PER_BATCH or cfg.SOLVER.IMS_PER_BATCH,
        "views": build_views(cfg, cfg.INPUT.TARGET_VIEWS, "INPUT.TARGET_VIEWS"),
        "skip_unreadable": cfg.INPUT.SKIP_UNREADABLE_TARGET,
    }


def _refuse_changed_colours(cfg: CfgNode) -> None:
    if cfg.INPUT.TARGET_VIEWS[0] != "weak":
        raise ValueError(
            f"INPUT.TARGET_VIEWS begins with '{cfg.INPUT.TARGET_VIEWS[0]}', but the objective "
            "SelfSupervisedDepth compares a frame with its neighbours: write 'weak' first"
        )


def _source_mapper(cfg: CfgNode) -> Mapper | None:
    """Return the mapper of labelled pictures, None for the usual one.

    Raises:
        ValueError: depth shall be learnt from them, but none has neighbours, or their colours are
            changed.
    """
    if not (cfg.MODEL.DEPTH.ON_LABELLED and "SelfSupervisedDepth" in cfg.MODEL.ADAPT.OBJECTIVES):
        return None
    key = "MODEL.DEPTH.ON_LABELLED"
    if cfg.INPUT.SOURCE_VIEW != "weak":
        raise ValueError(
            f"{key} is True, but INPUT.SOURCE_VIEW is '{cfg.INPUT.SOURCE_VIEW}', and a frame is "
            "compared with its neighbours: write INPUT.SOURCE_VIEW weak, or ON_LABELLED False"
        )
    # Those without neighbours stay, for their labels.
    keep_sequences(training_records(cfg), ", ".join(cfg.DATASETS.TRAIN), key)
    return NeighbourMapper(DatasetMapper(cfg, True), required=False)


@configurable(from_config=_target_from_config)
def build_target_loader(
    dataset: Any,
    *,
    mapper: Mapper,
    total_batch_size: int,
    views: Mapping[str, View] | None = None,
    keep: Sequence[str] = (),
    skip_unreadable: bool = False,
    seed: int = 0,
    **kwargs: Any,
) -> TrainLoader:
    """Build the loader of target pictures; call it with a config or with explicit arguments.

    Args:
        dataset: records, for example those of :func:`get_target_dicts`.
        mapper: training mapper; it never sees a label.
        total_batch_size: pictures per batch over all processes.
        views: by name; default: the mapper's picture alone.
        keep: further fields of a record for the mapper, as for ``TargetMapper``.
        skip_unreadable: take another picture, with a warning, in place of an unreadable one.
        seed: the run's seed, from which the stream's own is derived.
        kwargs: further arguments of :func:`build_train_loader`.

    Raises:
        ValueError: ``total_batch_size`` does not divide among the processes, or the mapper needs
            labels.
    """
    check_batch_size(total_batch_size, "SOLVER.TARGET_IMS_PER_BATCH")
    mapper = TargetMapper(ViewMapper(mapper, views) if views else mapper, keep)
    loader: TrainLoader = build_train_loader(
        dataset,
        mapper=SkipUnreadable(mapper) if skip_unreadable else mapper,
        total_batch_size=total_batch_size,
        seed=derive_seed(seed, Stream.TARGET),
        **kwargs,
    )
    return loader


def _from_config(cfg: CfgNode) -> dict[str, Any]:
    baseline = cfg.MODEL.ADAPT.BASELINE
    if baseline == "source_only":
        return {"source": build_train_loader(cfg), "target": None}
    require_target(cfg)
    if baseline == "oracle":
        cfg = cfg.clone()
        cfg.defrost()
        cfg.DATASETS.TRAIN = cfg.DATASETS.TARGET
        cfg.DATASETS.LABELLED.COUNT, cfg.DATASETS.LABELLED.FILE = 0, ""
        return {"source": build_train_loader(cfg), "target": None}
    source = build_train_loader(cfg, mapper=_source_mapper(cfg))
    target = build_target_loader(cfg)
    if not set(cfg.DATASETS.TRAIN) & set(cfg.DATASETS.TARGET):  # which is said elsewhere
        _say_overlap(source, target)
    return {"source": source, "target": target}


def _say_overlap(source: TrainLoader, target: TrainLoader) -> None:
    """Warn if pictures with labels are, under another data set's name, those without."""
    mine = source.dataset.file_names(COMPARED)
    theirs = target.dataset.file_names(len(target.dataset))
    shared = sorted(mine[real] for real in mine.keys() & theirs.keys())
    if shared:
        logger.warning(
            "%d of %d pictures of DATASETS.TRAIN that were compared are also in DATASETS.TARGET, "
            "for example %s: they are seen with and without their labels",
            len(shared),
            len(mine),
            shared[0],
        )


@configurable(from_config=_from_config)
def build_two_stream_loader(source: TrainLoader, target: TrainLoader | None = None) -> Any:
    """Join two loaders; or build both from a config.

    With a config, the source is ``DATASETS.TRAIN`` with ``SOLVER.IMS_PER_BATCH`` pictures, exactly
    those of a run without target, and the target ``DATASETS.TARGET`` with
    ``SOLVER.TARGET_IMS_PER_BATCH``. ``MODEL.ADAPT.BASELINE`` "source_only" gives the source stream
    alone, and "oracle" the target data sets with their labels in its place.

    Args:
        source: loader of labelled samples.
        target: loader of target samples; None: there is no target stream.

    Returns:
        ``TwoStreamLoader``, or ``source`` where there is no target.

    Raises:
        ValueError: no target data set.
    """
    return source if target is None else TwoStreamLoader(source, target)


def build_adaptation_loader(cfg: CfgNode) -> Any:
    """Return the loader that a config asks for: of two streams if its model adapts, else of one."""
    return build_two_stream_loader(cfg) if adapts(cfg) else build_train_loader(cfg)
