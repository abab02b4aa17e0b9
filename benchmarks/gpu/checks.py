"""Whether the GPU computes what the CPU does, in full and in half precision."""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from detectron2.layers import FrozenBatchNorm2d
from detectron2.utils.events import EventStorage
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from benchmarks.report import ROOT
from benchmarks.speed import neck
from benchmarks.speed.systems import Bench, config
from drfpn_da.engine.step import forward_under
from drfpn_da.layers.frozen_norm import FoldedNorm

#: By how much a loss may differ, of itself, from the CPU's; in half precision their sum from that
#: in float32, coarsely: a network that learnt nothing ranks boxes by the last digits of scores.
TOLERANCES = {"float32": 1e-3, "float16": 0.1, "bfloat16": 0.25}
# Below it a loss is compared with this number instead of with itself.
_FLOOR = 1e-2
_DRAWS = (torch.rand, torch.randn, torch.randint, torch.randperm)

Losses = dict[str, float]


class Skip(Exception):
    """A case that cannot run here; the message says why."""


class DrawsOfTheCPU(TorchFunctionMode):
    """Inside the block random numbers for a GPU are those that the CPU would draw."""

    def __init__(self) -> None:
        super().__init__()
        # By identity; held, so that no other generator gets the same one.
        self._twins: dict[int, tuple[torch.Generator, torch.Generator]] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        options = dict(kwargs or {})
        if func not in _DRAWS or options.get("device") is None:
            return func(*args, **options)
        device = options.pop("device")
        if options.get("generator") is not None:
            options["generator"] = self._twin(options["generator"])
        return func(*args, **options).to(device)

    def _twin(self, generator: torch.Generator) -> torch.Generator:
        if generator.device.type == "cpu":
            return generator
        twin = torch.Generator().manual_seed(generator.initial_seed())
        return self._twins.setdefault(id(generator), (generator, twin))[1]


@contextlib.contextmanager
def without_tf32() -> Iterator[None]:
    """Inside the block float32 has all its digits on a GPU too."""
    matmul, convolution = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, convolution.allow_tf32
    matmul.allow_tf32 = convolution.allow_tf32 = False
    try:
        yield
    finally:
        matmul.allow_tf32, convolution.allow_tf32 = before


def largest_difference(found: Losses, expected: Losses) -> tuple[float, str]:
    """The largest difference of a loss, of itself, and that loss; infinite if one is missing."""
    if found.keys() != expected.keys():
        return float("inf"), ", ".join(sorted(found.keys() ^ expected.keys()))
    apart = {
        key: abs(found[key] - value) / max(abs(value), _FLOOR) for key, value in expected.items()
    }
    # A loss that is not a number differs by infinity, which max() orders.
    apart = {key: value if value == value else float("inf") for key, value in apart.items()}
    worst = max(apart, key=lambda key: apart[key])
    return apart[worst], worst


def verdict(
    name: str, precision: str, found: Losses, expected: Losses, finite: bool = True
) -> dict[str, Any]:
    """A row: whether losses agree within the tolerance of a precision and gradients are finite."""
    difference, worst = largest_difference(found, expected)
    judged = difference
    if precision != "float32" and difference < float("inf"):
        sums = {"sum": sum(found.values())}, {"sum": sum(expected.values())}
        judged, _ = largest_difference(*sums)
    agrees = judged <= TOLERANCES[precision]
    return {
        "check": name,
        "precision": precision,
        "result": "passed" if agrees and finite else "FAILED",
        "largest difference, ppm": difference * 1e6,
        "of": worst,
        "gradients": "finite" if finite else "not finite",
    }


def check_neck(args: argparse.Namespace) -> list[dict[str, Any]]:
    """DRFPN's outputs and gradients: their norms on the device against the CPU's."""
    small = argparse.Namespace(**vars(args))
    found = {}
    for device in ("cpu", args.device):
        small.device = device
        model, inputs = neck.build_neck("DRFPN").to(device), neck.build_inputs(small)
        with without_tf32():
            outputs = model(inputs)
            sum(x.square().mean() for x in outputs.values()).backward()
        values = {**outputs, **{key: p.grad for key, p in model.named_parameters()}}
        found[device] = {key: float(value.norm()) for key, value in values.items()}
    return [verdict("DRFPN neck", "float32", found[args.device], found["cpu"])]


@torch.no_grad()
def fit_norms(model: nn.Module, size: tuple[int, int]) -> None:
    """Give frozen norms the statistics of a random picture, as training would have left them.

    Else features of random weights grow from layer to layer, out of the range of float16.
    """
    detector = getattr(model, "detector", model)
    teacher = getattr(model, "teacher", None)
    for one in (detector, *([teacher.detector] if teacher else [])):
        norms = [m for m in one.backbone.modules() if isinstance(m, FrozenBatchNorm2d)]
        hooks = [norm.register_forward_pre_hook(_take_statistics) for norm in norms]
        picture = 255 * torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))
        one.backbone.eval()((picture - one.pixel_mean) / one.pixel_std)
        for hook in hooks:
            hook.remove()


def _take_statistics(norm: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor] | None:
    variance, mean = torch.var_mean(inputs[0], (0, 2, 3))
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)
    if not isinstance(norm, FoldedNorm):
        return None
    # The convolution before it normalised by the statistics of before, which changed nothing.
    shape = (1, -1, 1, 1)
    return ((inputs[0] - mean.view(shape)) * (variance.view(shape) + norm.eps).rsqrt(),)


def _losses(bench: Bench, batch: Any, device: str, precision: str) -> tuple[Losses, bool]:
    """Losses of one forward and backward, and whether all gradients are finite."""
    model: nn.Module = bench.trainer.model.train()
    model.zero_grad(set_to_none=True)
    torch.manual_seed(0)
    half = precision != "float32"
    amp = partial(torch.autocast, device, getattr(torch, precision), enabled=half)
    with without_tf32(), DrawsOfTheCPU(), forward_under(model, amp), EventStorage(1):
        losses = model(batch)
        sum(losses.values()).backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    finite = bool(torch.stack([g.isfinite().all() for g in gradients]).all())
    return {key: float(value) for key, value in losses.items()}, finite


def check_system(name: str, args: argparse.Namespace) -> list[dict[str, Any]]:
    """One small system: its losses on the device against the CPU's, then in half precision."""
    with tempfile.TemporaryDirectory() as folder:
        on_cpu = argparse.Namespace(**{**vars(args), "device": "cpu"})
        reference = Bench(config(name, on_cpu, folder))
        fit_norms(reference.trainer.model, args.size)
        state = {k: v.clone() for k, v in reference.trainer.model.state_dict().items()}
        expected, _ = _losses(reference, reference.batches[0], "cpu", "float32")
        bench = Bench(config(name, args, folder)) if args.device != "cpu" else reference
        rows = []
        for precision in TOLERANCES:
            if args.device == "cpu" and precision == "float16":
                continue  # autocast has no float16 for every operation of a CPU
            bench.trainer.model.load_state_dict(state)
            found, finite = _losses(bench, reference.batches[0], args.device, precision)
            rows.append(verdict(name, precision, found, expected, finite))
            if precision == "float32":
                expected = found
    return rows


def run_gpu_tests() -> list[dict[str, Any]]:
    """The tests that need a GPU, in a process of their own.

    Raises:
        Skip: pytest is not installed.
    """
    if importlib.util.find_spec("pytest") is None:
        raise Skip("pytest is not installed")
    files = [
        str(path) for path in sorted((ROOT / "tests").rglob("test_*.py"))
        if "mark.gpu" in path.read_text()
    ]  # fmt: skip
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", *files]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    print(done.stdout, done.stderr, sep="\n")
    return [
        {
            "check": "tests marked gpu",
            "result": "FAILED" if done.returncode else "passed",
            "of": (done.stdout.strip() or done.stderr.strip()).splitlines()[-1],
        }
    ]
