"""A training data loader whose batches are a function of the seed and the iteration alone.

The batch of iteration *n*, pictures and augmentations, does not depend on the number of workers or
processes, nor on interruptions: detectron2's samplers give one global stream of indices, grouped
into global batches by index before any picture is read; each process loads its share, and each
sample is augmented with random numbers seeded by its position in the stream.
"""

from __future__ import annotations

import itertools
import logging
import random
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Callable

import torch
import torch.utils.data as torchdata
from detectron2.config import CfgNode, configurable
from detectron2.data import build_detection_train_loader
from detectron2.data.build import trivial_batch_collator, worker_init_reset_seed
from detectron2.data.common import AspectRatioGroupedDataset, DatasetFromList
from detectron2.data.samplers import TrainingSampler
from detectron2.utils import comm
from detectron2.utils.events import get_event_storage

from ..compat import global_indices, has_event_storage, train_loader_arguments
from ..files import real_names
from .checked_mapper import CheckedMapper, Mapper
from .indexed import IndexedMapper, load_indexed_from_config
from .seeding import Stream, derive_seed, seeded
from .sem_seg_labels import check_label_ids
from .slender_sampler import SLENDERNESS_SAMPLER, sampler_from_config
from .subset import labelled_records
from .views import ViewMapper, build_views

logger = logging.getLogger(__name__)

# A mapper may return None to reject a sample; so many others are then tried.
MAX_REJECTED = 100
# Position in the stream, index in the dataset.
Item = tuple[int, int]


class SeededMapDataset(torchdata.Dataset):
    """Maps dataset records, each with random numbers that depend on its stream position alone."""

    def __init__(self, dataset: Sequence[dict], mapper: Mapper, seed: int) -> None:
        self._dataset = dataset
        self._mapper = CheckedMapper(mapper)
        self._seed = seed

    def __len__(self) -> int:
        return len(self._dataset)

    def file_names(self, limit: int) -> dict[str, str]:
        """Return the files of at most so many records, evenly spaced: large sets are not read.

        Keys are of :func:`drfpn_da.files.real_names`, values as in the records.
        """
        step = max(1, -(-len(self) // limit))
        records = (self._dataset[i] for i in range(0, len(self), step))
        paths = [record["file_name"] for record in records if "file_name" in record]
        return dict(zip(real_names(paths), paths))

    def __getitem__(self, item: Item) -> dict[str, Any]:
        position, index = item
        with seeded(derive_seed(self._seed, Stream.SAMPLE, position)):
            for _ in range(MAX_REJECTED):
                sample = self._mapper(self._dataset[index])
                if sample is not None:
                    return sample
                index = random.randrange(len(self._dataset))
        name = self._dataset[index].get("file_name", "a record without file_name")
        raise RuntimeError(
            f"the dataset mapper rejected {MAX_REJECTED} records in a row, {name} last: it finds "
            "nothing to learn from (labels all ignored, or pictures skipped as unreadable); look "
            "at them with drfpn-da visualize, and check labels, INPUT.CROP and "
            "MODEL.SEM_SEG_HEAD.IGNORE_VALUE"
        )


class GlobalBatches:
    """The endless stream of batches over all processes, as dataset indices.

    Args:
        sampler: detectron2 training sampler, the same on all processes.
        batch_size: pictures per batch over all processes.
        sizes: (width, height) of every record, to batch landscape and portrait pictures apart as
            detectron2 does; None: batches in stream order.
    """

    def __init__(
        self,
        sampler: torchdata.Sampler,
        batch_size: int,
        sizes: Sequence[tuple[int, int]] | None = None,
    ) -> None:
        self._sampler = sampler
        self._batch_size = batch_size
        self._sizes = sizes

    def __iter__(self) -> Iterator[list[Item]]:
        items = enumerate(global_indices(self._sampler))
        if self._sizes is None:
            while True:
                yield list(itertools.islice(items, self._batch_size))
        for batch in AspectRatioGroupedDataset(self._with_sizes(items), self._batch_size):
            yield [entry["item"] for entry in batch]

    def _with_sizes(self, items: Iterable[Item]) -> Iterator[dict[str, Any]]:
        assert self._sizes is not None
        for position, index in items:
            width, height = self._sizes[index]
            yield {"width": width, "height": height, "item": (position, index)}


class ProcessShare:
    """Batch sampler of one process: its share of every global batch from ``start`` on."""

    def __init__(self, batches: Iterable[list[Item]], start: int, rank: int, world: int) -> None:
        self._batches, self._start, self._rank, self._world = batches, start, rank, world

    def __iter__(self) -> Iterator[list[Item]]:
        for batch in itertools.islice(self._batches, self._start, None):
            yield batch[self._rank :: self._world]


class TrainLoader:
    """Endless iterable of batches (``list[dict]``), beginning with that of ``start_iter``.

    Iterating is lazy: ``start_iter`` may be set until the first batch is asked for, so that a
    trainer which learns its iteration from a checkpoint goes on with the data that belong there.

    Attributes:
        start_iter: iteration whose batch comes first; None: that of the ``EventStorage`` in which
            the first batch is asked for, which a trainer that resumes has opened; 0 without one.
        file_names: pictures of the batch given out last.
    """

    def __init__(self, dataset: SeededMapDataset, batches: GlobalBatches, **kwargs: Any) -> None:
        self.dataset = dataset
        self.batches = batches
        self.start_iter: int | None = None
        self.file_names: list[str] = []
        self._kwargs = kwargs

    def __iter__(self) -> Iterator[list[dict]]:
        start = current_iteration() if self.start_iter is None else self.start_iter
        share = ProcessShare(self.batches, start, comm.get_rank(), comm.get_world_size())
        # The generator of its own keeps the loader from drawing on the model's random numbers.
        loader = torchdata.DataLoader(
            self.dataset,
            batch_sampler=share,
            worker_init_fn=worker_init_reset_seed,
            generator=torch.Generator(),
            **self._kwargs,
        )
        for batch in loader:
            self.file_names = [str(sample.get("file_name", "?")) for sample in batch]
            yield batch


def current_iteration() -> int:
    """Return the iteration of the training that runs, 0 if none does."""
    return int(get_event_storage().iter) if has_event_storage() else 0


def _from_config(
    cfg: CfgNode,
    mapper: Mapper | None = None,
    *,
    dataset: Any = None,
    sampler: torchdata.Sampler | None = None,
) -> dict[str, Any]:
    seed = run_seed(cfg)
    if "SCN_RELABEL" in cfg and cfg.SCN_RELABEL.ENABLED:
        dataset = load_indexed_from_config(cfg)[0] if dataset is None else dataset
        mapper = mapper or IndexedMapper(cfg, True)
    dataset = labelled_records(cfg) if dataset is None else dataset
    # detectron2 builds most samplers without a seed; they draw one from numpy's generator.
    balanced = sampler is None and cfg.DATALOADER.SAMPLER_TRAIN == SLENDERNESS_SAMPLER
    if balanced:  # detectron2 knows only its own samplers by name
        cfg = cfg.clone()
        cfg.defrost()
        cfg.DATALOADER.SAMPLER_TRAIN = "TrainingSampler"
    with seeded(derive_seed(seed, Stream.SAMPLER)):
        arguments = train_loader_arguments(cfg, mapper, dataset=dataset, sampler=sampler)
    if balanced:
        arguments["sampler"] = sampler_from_config(cfg, arguments["dataset"], seed)
    arguments["mapper"] = check_label_ids(cfg, arguments["mapper"])
    # A config of detectron2 alone, without the keys of drfpn_da, will do.
    view = cfg.INPUT.get("SOURCE_VIEW", "weak")
    if view != "weak":
        views = build_views(cfg, [view], "INPUT.SOURCE_VIEW")
        arguments["mapper"] = ViewMapper(arguments["mapper"], views)
    return {**arguments, "seed": seed}


@configurable(from_config=_from_config)
def build_train_loader(
    dataset: Any,
    *,
    mapper: Mapper,
    sampler: torchdata.Sampler | None = None,
    total_batch_size: int,
    aspect_ratio_grouping: bool = True,
    num_workers: int = 0,
    collate_fn: Callable[[list], Any] | None = None,
    seed: int = 0,
    **kwargs: Any,
) -> Any:
    """Build a training loader; a drop-in for detectron2's ``build_detection_train_loader``.

    Call it with a config (``build_train_loader(cfg, mapper=...)``) or with explicit arguments.

    Args:
        dataset: list of dataset dicts or map-style dataset. An iterable-style dataset has no
            positions: detectron2's own loader is returned, which does not repeat or resume exactly.
        mapper: from a record to a sample; None returned rejects the record, and another is drawn.
        sampler: detectron2 training sampler; default: a seeded shuffle.
        total_batch_size: pictures per batch over all processes.
        aspect_ratio_grouping: batch landscape and portrait pictures apart (over all processes).
        num_workers: loading processes per training process.
        collate_fn: from a list of samples to a batch; default: the list.
        seed: seed of order and augmentations, not negative.
        kwargs: further arguments of ``torch.utils.data.DataLoader``.

    Raises:
        ValueError: ``total_batch_size`` does not divide among the processes.
    """
    if isinstance(dataset, torchdata.IterableDataset):
        logger.warning("An iterable-style dataset neither repeats nor resumes exactly.")
        return build_detection_train_loader(
            dataset,
            mapper=mapper,
            total_batch_size=total_batch_size,
            aspect_ratio_grouping=aspect_ratio_grouping,
            num_workers=num_workers,
            collate_fn=collate_fn,
            **kwargs,
        )
    check_batch_size(total_batch_size, "SOLVER.IMS_PER_BATCH")
    if sampler is None:
        sampler = TrainingSampler(len(dataset), seed=derive_seed(seed, Stream.SAMPLER))
    sizes = _record_sizes(dataset) if aspect_ratio_grouping else None
    if isinstance(dataset, list):
        dataset = DatasetFromList(dataset, copy=False)
    return TrainLoader(
        SeededMapDataset(dataset, mapper, seed),
        GlobalBatches(sampler, total_batch_size, sizes),
        num_workers=num_workers,
        collate_fn=collate_fn or trivial_batch_collator,
        **kwargs,
    )


def loader_options(cfg: CfgNode) -> dict[str, Any]:
    """Return what a config says of every training loader, as arguments of the function above."""
    return {
        "total_batch_size": cfg.SOLVER.IMS_PER_BATCH,
        "aspect_ratio_grouping": cfg.DATALOADER.ASPECT_RATIO_GROUPING,
        "num_workers": cfg.DATALOADER.NUM_WORKERS,
        "seed": run_seed(cfg),
    }


def run_seed(cfg: CfgNode) -> int:
    """Return the run's seed; if it is negative, a random one that all processes share."""
    return cfg.SEED if cfg.SEED >= 0 else comm.shared_random_seed()


def check_batch_size(total: int, key: str) -> None:
    """Raise ValueError, naming the config key, unless the batch divides among the processes."""
    world = comm.get_world_size()
    if total < 1 or total % world:
        raise ValueError(
            f"{key} is {total}; it must be a positive multiple of the {world} processes among "
            "which it is divided"
        )


def _record_sizes(dataset: Any) -> list[tuple[int, int]] | None:
    """Return (width, height) of every record, or None when they are not all known."""
    if isinstance(dataset, list) and all("width" in d and "height" in d for d in dataset):
        return [(d["width"], d["height"]) for d in dataset]
    logger.warning("Records without width and height: not grouped by aspect ratio.")
    return None
