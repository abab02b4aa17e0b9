"""The parallel model and what is inside of it, and the step trainer, also without a GPU."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Callable

import torch
from detectron2.engine import AMPTrainer, SimpleTrainer, create_ddp_model
from detectron2.utils import comm
from torch import Tensor, nn

from ..compat import supported_kwargs
from ..modeling import AdaptiveModel
from ..modeling.step_scalars import read_with_scalars, scalars_read_at_once

logger = logging.getLogger(__name__)

PRECISIONS = {"float16": torch.float16, "bfloat16": torch.bfloat16}
# Instruction sets of CPUs, by torch's names, that compute in bfloat16 by slow emulation.
EMULATED = ("NO AVX", "AVX2")


def build_ddp_model(model: nn.Module, **kwargs: Any) -> nn.Module:
    """Make the model data-parallel if there are several processes, on GPUs or on CPUs.

    Args:
        model: on its device already.
        kwargs: arguments of ``DistributedDataParallel``.

    Raises:
        RuntimeError: the model is on the CPU, but the processes talk through NCCL.
    """
    if comm.get_world_size() == 1 or model_device(model).type != "cpu":
        return create_ddp_model(model, **kwargs)
    backend = torch.distributed.get_backend()
    if backend == "nccl":
        raise RuntimeError(
            "MODEL.DEVICE is 'cpu', but on a machine with GPUs detectron2 connects processes by "
            "NCCL, which serves GPUs only: write MODEL.DEVICE cuda, or hide the GPUs "
            "(CUDA_VISIBLE_DEVICES='')"
        )
    logger.info("Training on the CPU with %d %s processes", comm.get_world_size(), backend)
    return create_ddp_model(model, device_ids=None, **kwargs)


def unwrap(model: nn.Module) -> nn.Module:
    """Return the model inside ``DistributedDataParallel`` and ``SlidingWindow``, or itself."""
    while hasattr(model, "module"):
        model = model.module  # type: ignore[assignment]
    return model


def detector_of(model: nn.Module) -> nn.Module:
    """Return the student's detector of an ``AdaptiveModel``, else the model; :func:`unwrap`-ed."""
    plain = unwrap(model)
    return plain.detector if isinstance(plain, AdaptiveModel) else plain


def unoptimised_scripts() -> contextlib.AbstractContextManager:
    """Return a context in which scripted functions compute the same at every call.

    The losses of RetinaNet and FCOS are scripted. TorchScript profiles its first calls and rounds
    otherwise from then on, so that a resumed process would part from an unbroken one.
    """
    return torch.jit.optimized_execution(False)


@contextlib.contextmanager
def dead_workers_explained() -> Iterator[None]:
    """Inside the block, the error of a killed data loading process says what to do about it.

    Raises:
        RuntimeError: such a process died.
    """
    try:
        yield
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise RuntimeError(
            f"a process that loads data died ({str(error).splitlines()[0]}). Mostly the system "
            "killed it for want of memory: lower DATALOADER.NUM_WORKERS or the size of the "
            "pictures (with 0 workers an error in the data shows itself), then continue with "
            "--resume from the last checkpoint"
        ) from error


def model_device(model: nn.Module) -> torch.device:
    """Return the device of the model's first parameter."""
    return next(model.parameters()).device


def read_losses_at_once(trainer: SimpleTrainer) -> None:
    """Let a step trainer read losses and the scalars of a step in one transfer from the device.

    Args:
        trainer: detectron2's step trainer, of full or mixed precision.
    """
    write = trainer._write_metrics

    def write_read(losses: Mapping[str, Tensor], *arguments: Any, **options: Any) -> None:
        numbers = read_with_scalars(list(losses.values()))
        write(
            dict(zip(losses, (torch.tensor(x, dtype=torch.float64) for x in numbers))),
            *arguments,
            **options,
        )

    trainer._write_metrics = write_read
    trainer.run_step = scalars_read_at_once()(trainer.run_step)


def amp_trainer(precision: str, device: torch.device) -> Callable[..., SimpleTrainer]:
    """Return a step trainer class for mixed precision, with its options bound.

    Args:
        precision: "float16" or "bfloat16"; on the CPU it is always bfloat16.
        device: of the model.

    Raises:
        ValueError: another precision, or one that this detectron2 does not know.
    """
    if precision not in PRECISIONS:
        raise ValueError(
            f"SOLVER.AMP.PRECISION is '{precision}'; write one of {', '.join(PRECISIONS)}"
        )
    if device.type == "cpu":
        if torch.backends.cpu.get_cpu_capability() in EMULATED:
            logger.warning(
                "SOLVER.AMP.ENABLED: this CPU only emulates bfloat16, which is much slower than "
                "float32; write False, unless it is for a test"
            )
        return CPUAMPTrainer
    options = supported_kwargs(AMPTrainer, precision=PRECISIONS[precision])
    if precision == "bfloat16":
        if not options:
            raise ValueError(
                "this detectron2 trains in float16 only: write SOLVER.AMP.PRECISION float16"
            )
        # bfloat16 has the range of float32, so gradients need no scaling.
        options["grad_scaler"] = torch.cuda.amp.GradScaler(enabled=False)
    return partial(AMPTrainer, **options)


class CPUAMPTrainer(SimpleTrainer):
    """Mixed precision on the CPU: the forward pass under bfloat16 autocast, without scaling."""

    def run_step(self) -> None:
        """One iteration."""
        with forward_under(self.model, partial(torch.autocast, "cpu", torch.bfloat16)):
            super().run_step()


@contextlib.contextmanager
def forward_under(
    model: nn.Module, context: Callable[[], contextlib.AbstractContextManager]
) -> Iterator[None]:
    """Inside the block, ``model.forward`` (and nothing after it) runs in a context of its own."""
    with contextlib.ExitStack() as stack:
        before = model.register_forward_pre_hook(lambda *_: _enter(stack, context()))
        after = model.register_forward_hook(lambda *_: stack.close())
        try:
            yield
        finally:
            before.remove()
            after.remove()


def _enter(stack: contextlib.ExitStack, context: contextlib.AbstractContextManager) -> None:
    # Separate, because what a forward pre-hook returns would replace the input.
    stack.enter_context(context)
