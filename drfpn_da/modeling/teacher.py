"""Mean teacher: a detector that follows another's weights (arXiv 1703.01780)."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from .inner_keys import InnerKeys


class MeanTeacher(nn.Module):
    """Exponential moving average of a student: parameters and buffers.

    Its parameters need no gradient, so optimisers and ``DistributedDataParallel`` pass it over, yet
    checkpoints hold it. It is in evaluation mode, unless told otherwise. In ``state_dict()`` its
    keys are those of the student with ``.ema`` at the end, and ``updates``.

    Args:
        student: copied as it is now.
        decay: share of the old value kept per step, in [0, 1). In the first steps less is kept,
            ``1 - 1 / (n + 1)`` at the n-th, so that the start does not linger.
        start_iter: before this iteration the teacher equals the student.
        period: iterations between two moves. With ``decay`` 0 the teacher is a snapshot of the
            student, frozen for a period: with the iterations of an epoch, labels that are replaced
            after each epoch (arXiv 1908.02983).
        average_buffers: of the student, such as batch norms' statistics; False: leave the teacher's
            own alone.
        train_mode: follow :meth:`train`, so that batch norms use the batch, and dropout drops.

    Attributes:
        detector: the averaged detector.
        updates: number of averaged steps.

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
        InnerKeys(self, "detector", own=["updates"], ending=".ema")

    def train(self, mode: bool = True) -> MeanTeacher:
        """Stay in evaluation mode, unless built to follow."""
        return super().train(mode and self.train_mode)

    @torch.no_grad()
    def follow(self, student: nn.Module, iteration: int) -> None:
        """Move towards the student, once per training step.

        Args:
            student: module with the parameters and buffers of the one copied.
            iteration: of the training, for ``start_iter``.
        """
        if iteration <= self.start_iter:
            self.copy_from(student)
            return
        if (iteration - self.start_iter) % self.period:
            return
        self.updates += 1
        keep = min(self.decay, 1 - 1 / (int(self.updates) + 1))
        for mine, its in _pairs(self.detector, student, self.average_buffers):
            if mine.is_floating_point():
                mine.lerp_(its.to(mine.dtype), 1 - keep)
            else:
                mine.copy_(its)

    @torch.no_grad()
    def copy_from(self, student: nn.Module) -> None:
        """Become the student's equal and forget the average."""
        self.updates.zero_()
        for mine, its in _pairs(self.detector, student):
            mine.copy_(its)


def _pairs(
    teacher: nn.Module, student: nn.Module, buffers: bool = True
) -> list[tuple[Tensor, Tensor]]:
    pairs: list[tuple[Tensor, Tensor]] = list(zip(teacher.parameters(), student.parameters()))
    if buffers:
        pairs += zip(teacher.buffers(), student.buffers())
    return pairs
