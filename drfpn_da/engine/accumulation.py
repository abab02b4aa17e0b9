"""Gradient accumulation: the batch of an iteration in parts, for the memory of one part."""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.engine import SimpleTrainer
from torch import Tensor, nn

from ..functional.generators import part_of_step


def check_parts(cfg: CfgNode, processes: int) -> None:
    """Raise ValueError unless each stream's batch divides among processes and their parts."""
    steps = cfg.SOLVER.ACCUMULATION_STEPS
    for key in ("IMS_PER_BATCH", "TARGET_IMS_PER_BATCH"):
        if cfg.SOLVER[key] % (processes * steps):
            raise ValueError(
                f"SOLVER.{key} is {cfg.SOLVER[key]}, which does not divide among SOLVER."
                f"ACCUMULATION_STEPS {steps} parts in each of {processes} processes: write a "
                f"multiple of {processes * steps}, or fewer parts"
            )


def accumulate_gradients(trainer: SimpleTrainer, steps: int) -> None:
    """Let every iteration of a trainer run its batch in parts and add up their gradients.

    An iteration stays one step of the optimiser on one whole batch, so that schedules, hooks,
    checkpoints and learning rate are those without parts. Losses and gradients are the means over
    the parts, which for losses that are means over pictures equals the whole batch. What a model
    normalises or gathers within a forward pass (batch norm, the number of foreground boxes, running
    thresholds) it does within a part. Part ``i`` has the pictures ``i, i + steps, ...``: as many of
    each domain in each. Random numbers of an iteration differ from part to part. Processes exchange
    gradients once per iteration.

    Args:
        trainer: detectron2's step trainer, of full or mixed precision.
        steps: parts; 1 changes nothing.

    Raises:
        ValueError: fewer than one part, or this detectron2 cannot do it; in training, a process's
            batch that does not divide.
    """
    if steps < 1:
        raise ValueError(f"SOLVER.ACCUMULATION_STEPS is {steps}; write at least 1")
    if steps == 1:
        return
    if not hasattr(trainer, "zero_grad_before_forward"):
        raise ValueError(
            "this detectron2 forgets gradients after the forward pass: write "
            "SOLVER.ACCUMULATION_STEPS 1, or install its main branch"
        )
    trainer.zero_grad_before_forward = True
    run_step = trainer.run_step
    scaler = getattr(trainer, "grad_scaler", None)

    def run_in_parts() -> None:
        model = trainer.model
        trainer.model = _InParts(model, steps, scaler)
        try:
            run_step()
        finally:
            trainer.model = model

    trainer.run_step = run_in_parts


class _InParts:
    """Stands for the model for one step: goes backward itself, but for the last part."""

    def __init__(self, model: nn.Module, steps: int, scaler: Any) -> None:
        self._model, self._steps, self._scaler = model, steps, scaler

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def __call__(self, batch: list[dict[str, Any]]) -> dict[str, Tensor]:
        if len(batch) % self._steps:
            raise ValueError(
                f"a process's batch has {len(batch)} pictures, which do not divide into "
                f"SOLVER.ACCUMULATION_STEPS {self._steps} equal parts"
            )
        done: dict[str, Tensor] = {}
        for part in range(self._steps - 1):
            # Data-parallel models exchange gradients with the last part only.
            with getattr(self._model, "no_sync", contextlib.nullcontext)():
                losses = self._losses(batch, part)
                self._backward(sum(losses.values(), torch.zeros(())))
            _add(done, {name: loss.detach() for name, loss in losses.items()})
        _add(done, self._losses(batch, self._steps - 1))
        return done

    def _losses(self, batch: list[dict[str, Any]], part: int) -> dict[str, Tensor]:
        with part_of_step(part):
            losses = self._model(batch[part :: self._steps])
        if isinstance(losses, Tensor):
            losses = {"total_loss": losses}
        return {name: loss / self._steps for name, loss in losses.items()}

    def _backward(self, loss: Tensor) -> None:
        # The trainer may have called from within autocast, where backward does not belong.
        with torch.autocast(loss.device.type, enabled=False):
            (loss if self._scaler is None else self._scaler.scale(loss)).backward()


def _add(sums: dict[str, Tensor], losses: dict[str, Tensor]) -> None:
    for name, loss in losses.items():
        sums[name] = sums[name] + loss if name in sums else loss
