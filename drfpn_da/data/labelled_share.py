"""Batches with a fixed number of labelled pictures, in each process and after each resume."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NoReturn

import torch
import torch.utils.data as torchdata

from .seeding import Stream, derive_seed


class LabelledShareSampler(torchdata.Sampler):
    """An endless stream of indices, cut by the loader into batches of all processes together.

    An epoch is one pass over the other pictures in a new order; labelled ones come in passes of
    their own, as often as needed. Pictures that do not fill a last batch are left out of the epoch.
    Each batch begins with the labelled pictures of all processes; since process ``r`` takes the
    positions ``r, r + world, ...``, each has its share. Everything follows from the seed.

    With ``labelled_per_process`` 0 an epoch is a pass over labelled and other pictures alike.

    Args:
        labelled: indices with labels.
        unlabelled: the other indices.
        batch_size: pictures per batch over all processes.
        labelled_per_process: labelled pictures in the batch of each process.
        world: number of processes.
        warmup: so many batches at first have labelled pictures only.
        seed: of the order.

    Attributes:
        batches_per_epoch: after the warm-up.
        warmup: as given.

    Raises:
        ValueError: no labelled or no other picture, or both in one; a share that leaves no place in
            the batch; fewer pictures than one batch needs.
    """

    def __init__(
        self,
        labelled: Sequence[int],
        unlabelled: Sequence[int],
        *,
        batch_size: int,
        labelled_per_process: int,
        world: int = 1,
        warmup: int = 0,
        seed: int = 0,
    ) -> None:
        if not len(labelled) or not len(unlabelled):
            _refuse_empty(len(labelled), len(unlabelled))
        both = set(labelled) & set(unlabelled)
        if both:
            raise ValueError(
                f"{len(both)} pictures are labelled and unlabelled, for example index {min(both)}: "
                "take them out of one of the two"
            )
        share = labelled_per_process * world
        if not 0 <= share < batch_size:
            raise ValueError(
                f"MODEL.SOFT_LABELS.LABELLED_PER_BATCH is {labelled_per_process} in each of "
                f"{world} processes, and SOLVER.IMS_PER_BATCH is {batch_size}: write a share from "
                f"0 to {(batch_size - 1) // world}, or larger batches"
            )
        if warmup < 0:
            raise ValueError(f"MODEL.SOFT_LABELS.WARMUP_ITERS is {warmup}; write 0 or more")
        self._labelled, self._batch_size, self._share = list(labelled), batch_size, share
        self._passed = list(unlabelled) if share else [*labelled, *unlabelled]
        self.warmup, self._seed = warmup, seed
        self.batches_per_epoch = len(self._passed) // (batch_size - share)
        if not self.batches_per_epoch:
            raise ValueError(
                f"there are {len(self._passed)} pictures for the {batch_size - share} places of a "
                "batch: write a smaller SOLVER.IMS_PER_BATCH"
            )

    def __iter__(self) -> Iterator[int]:
        labelled = self._endless(self._labelled)
        for _ in range(self.warmup * self._batch_size):
            yield next(labelled)
        places = self._batch_size - self._share
        epoch = 0
        while True:
            order = self._order(self._passed, 1, epoch)
            for start in range(0, self.batches_per_epoch * places, places):
                for _ in range(self._share):
                    yield next(labelled)
                yield from order[start : start + places]
            epoch += 1

    def _endless(self, indices: list[int]) -> Iterator[int]:
        turn = 0
        while True:
            yield from self._order(indices, 0, turn)
            turn += 1

    def _order(self, indices: list[int], use: int, turn: int) -> list[int]:
        generator = torch.Generator()
        generator.manual_seed(derive_seed(self._seed, Stream.SAMPLER, use, turn))
        return [indices[i] for i in torch.randperm(len(indices), generator=generator).tolist()]


def _refuse_empty(labelled: int, unlabelled: int) -> NoReturn:
    what = "labelled" if not labelled else "unlabelled"
    mend = (
        "write a DATASETS.LABELLED.COUNT below the number of pictures of DATASETS.TRAIN, or name "
        "other pictures in DATASETS.TARGET; without any, use MODEL.META_ARCHITECTURE "
        "PatchClassifier"
        if labelled
        else "DATASETS.TRAIN names labelled pictures"
    )
    raise ValueError(
        f"there is no {what} picture (labelled: {labelled}, unlabelled: {unlabelled}): {mend}"
    )
