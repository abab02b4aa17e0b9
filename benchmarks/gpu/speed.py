"""Steps, inference and peak memory of a method against those of the plain model beside it."""

from __future__ import annotations

import argparse
import contextlib
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from detectron2.config import CfgNode

from benchmarks.speed import neck
from benchmarks.speed.systems import Bench
from benchmarks.timing import measure, peak_growth, timed
from drfpn_da.engine.step import forward_under

#: Configs of a method and of the plain model: from a name, the arguments and a folder for output.
Configs = Callable[[str, argparse.Namespace, str], tuple[CfgNode, CfgNode]]


def compare_necks(args: argparse.Namespace) -> list[dict[str, Any]]:
    """FPN, PAFPN and DRFPN: a row each."""
    rows = neck.times(args, plain_formulas=False)
    for row in rows:
        if args.device == "cuda":
            row["peak MiB"] = neck.peak_memory(row["neck"], args)
        row["precision"] = args.amp or "float32"
    return rows


def compare_system(name: str, configs: Configs, args: argparse.Namespace) -> list[dict[str, Any]]:
    """A method and the plain model: a row each; steps of both in turns, then inference."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        method, plain = (Bench(cfg) for cfg in configs(name, args, folder))
        benches = {name: method, "plain": plain}
        for bench in benches.values():
            stack.enter_context(_precision(bench, args))
        steps = {key: bench.step for key, bench in benches.items()}
        looks = {key: bench.inference for key, bench in benches.items()}
        step_seconds, look_seconds = (
            measure(
                {key: partial(timed, run, args.device) for key, run in runs.items()}, args.rounds
            )
            for runs in (steps, looks)
        )
        return [
            {
                "system": key if key == name else f"plain, beside {name}",
                "precision": args.amp or "float32",
                "pictures": _sizes(bench),
                "step, ms": step_seconds[key] * 1e3,
                "x plain, step": step_seconds[key] / step_seconds["plain"],
                "inference, ms": look_seconds[key] * 1e3,
                "x plain, inference": look_seconds[key] / look_seconds["plain"],
                **_peaks(bench, args),
            }
            for key, bench in benches.items()
        ]


@contextlib.contextmanager
def _precision(bench: Bench, args: argparse.Namespace) -> Iterator[None]:
    if not args.amp:
        yield
        return
    amp = partial(torch.autocast, args.device, getattr(torch, args.amp))
    with forward_under(bench.trainer.model, amp):
        yield


def _sizes(bench: Bench) -> str:
    """Number and size of the pictures of a step."""
    shapes = [tuple(one["image"].shape[-2:]) for one in bench.batches[0]]
    return f"{len(shapes)} of up to {max(h for h, _ in shapes)} x {max(w for _, w in shapes)}"


def _peaks(bench: Bench, args: argparse.Namespace) -> dict[str, float]:
    """MiB of a step and of inference above what the models hold; on a CPU, nothing."""
    if args.device != "cuda":
        return {}
    runs = {"step peak, MiB": bench.step, "inference peak, MiB": bench.inference}
    return {key: peak_growth(run, args.device) for key, run in runs.items()}
