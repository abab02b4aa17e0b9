"""Mean teacher: a detector that follows another's weights (arXiv 1703.01780)."""

from __future__ import annotations

import copy
import logging

import torch
from detectron2.layers import FrozenBatchNorm2d
from torch import Tensor, nn

from ..layers.kept import Kept
from .inner_keys import InnerKeys, InnerNames

logger = logging.getLogger(__name__)

Pair = tuple[Tensor, Tensor]


class MeanTeacher(InnerNames):
    """Exponential moving average of a student: parameters and buffers.

    Its parameters need no gradient, so optimisers and ``DistributedDataParallel`` pass it over, yet
    checkpoints hold it. It is in evaluation mode, unless told otherwise. In ``state_dict()`` its
    keys are those of the student with ``.ema`` at the end, and ``updates``.

    Args:
        student: copied as it is now.
        decay: share of the old value kept per step, in [0, 1). In the first steps less is kept,
            ``1 - 1 / (n + 1)`` at the n-th, so that the start does not linger.
        start_iter: until this iteration the teacher equals the student; see :meth:`follow`.
        period: iterations between two moves. With ``decay`` 0 the teacher is a snapshot of the
            student, frozen for a period: with the iterations of an epoch, labels that are replaced
            after each epoch (arXiv 1908.02983).
        average_buffers: of the student, such as batch norms' statistics; False: leave the teacher's
            own alone.
        train_mode: follow :meth:`train`, so that batch norms use the batch, and dropout drops.

    Attributes:
        detector: the averaged detector.
        updates: number of averaged steps.
        objectives: by name, averages of the objectives that act on the detector in evaluation; see
            :meth:`add_objective`.

    Raises:
        ValueError: ``decay`` or ``period`` is out of range.
    """

    updates: Tensor

    def __init__(
        self,
        student: nn.Module,
        decay: float = 0.9996,
        start_iter: int = 0,
        period: int = 1,
        average_buffers: bool = True,
        train_mode: bool = False,
    ) -> None:
        super().__init__()
        if not 0 <= decay < 1:
            raise ValueError(f"MODEL.TEACHER.DECAY is {decay}; it must be in [0, 1)")
        if period < 1:
            raise ValueError(f"MODEL.TEACHER.PERIOD is {period}; write at least 1")
        self.decay = decay
        self.start_iter = start_iter
        self.period = period
        self.average_buffers, self.train_mode = average_buffers, train_mode
        self.detector = copy.deepcopy(student).requires_grad_(False).eval()
        self.register_buffer("updates", torch.zeros((), dtype=torch.long))
        self._count = Kept()
        self._count.put([self.updates], 0)
        self._equal = Kept()
        self._moved = False
        self.objectives = nn.ModuleDict()
        InnerKeys(self, "detector", own=["updates", "objectives"], ending=".ema")

    def add_objective(self, name: str, objective: nn.Module) -> nn.Module:
        """Average an objective beside the detector, likewise; return the averaged one."""
        self.objectives[name] = average = MeanTeacher(
            objective,
            self.decay,
            self.start_iter,
            self.period,
            self.average_buffers,
            self.train_mode,
        )
        return average.detector

    def train(self, mode: bool = True) -> MeanTeacher:
        """Stay in evaluation mode, unless built to follow."""
        return super().train(mode and self.train_mode)

    @torch.no_grad()
    def follow(self, student: nn.Module, iteration: int) -> None:
        """Move towards the student, once per training step.

        At ``start_iter`` a teacher that has an average already, from the checkpoint of an earlier
        training, goes on with it. Before ``start_iter`` it is given up, with a warning; but one
        that has moved in this process stays as it is: whoever runs the model with another count of
        iterations (for a validation loss, say) must not reset it.

        Args:
            student: module with the parameters and buffers of the one copied.
            iteration: of the training, for ``start_iter``.
        """
        updates = self._count_updates()
        if iteration < self.start_iter or (iteration == self.start_iter and not updates):
            if self._moved:
                return
            if updates:
                logger.warning(
                    "MODEL.TEACHER.START_ITER is %d: until then the teacher equals the student, so "
                    "that the average of %d steps from the checkpoint is given up at iteration %d; "
                    "write START_ITER 0 to go on with it",
                    self.start_iter,
                    updates,
                    iteration,
                )
            self.copy_from(student)
            return
        if (iteration - self.start_iter) % self.period:
            return
        self.updates += 1
        self._moved = True
        self._count.put([self.updates], updates + 1)
        keep = min(self.decay, 1 - 1 / (updates + 2))
        pairs = self._moving(_pairs(self.detector, student, self.average_buffers), student)
        floating = [pair for pair in pairs if pair[0].is_floating_point()]
        if floating:  # all tensors at once: three launches on a GPU in place of one a tensor
            targets = [its.to(mine) for mine, its in floating]
            torch._foreach_lerp_([mine for mine, _ in floating], targets, 1 - keep)
        for mine, its in pairs:
            if not mine.is_floating_point():
                mine.copy_(its)

    def _moving(self, pairs: list[Pair], student: nn.Module) -> list[Pair]:
        """Leave out statistics of frozen norms that equal the student's.

        They stay as they are. What was computed from them once (:class:`Kept`) then holds on.
        """
        frozen = _frozen_statistics(self.detector, student)
        if not self._equal.get(sum(frozen, ()), lambda: all(torch.equal(*x) for x in frozen)):
            return pairs
        left_out = {id(mine) for mine, _ in frozen}
        return [pair for pair in pairs if id(pair[0]) not in left_out]

    def _count_updates(self) -> int:
        """Return the number of averaged steps; the device is asked where others have set it."""
        count: int = self._count.get([self.updates], lambda: int(self.updates))
        return count

    @torch.no_grad()
    def copy_from(self, student: nn.Module) -> None:
        """Become the student's equal and forget the average."""
        self.updates.zero_()
        self._count.put([self.updates], 0)
        for mine, its in _pairs(self.detector, student):
            mine.copy_(its)
        self._equal.forget()
        self._equal.get(sum(_frozen_statistics(self.detector, student), ()), lambda: True)


def _frozen_statistics(teacher: nn.Module, student: nn.Module) -> list[Pair]:
    norms = [
        pair
        for pair in zip(teacher.modules(), student.modules())
        if isinstance(pair[0], FrozenBatchNorm2d)
    ]
    return [pair for mine, its in norms for pair in zip(mine.buffers(), its.buffers())]


def _pairs(teacher: nn.Module, student: nn.Module, buffers: bool = True) -> list[Pair]:
    pairs: list[Pair] = list(zip(teacher.parameters(), student.parameters()))
    if buffers:
        pairs += zip(teacher.buffers(), student.buffers())
    return pairs
