"""What is run, most telling first."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

from benchmarks.speed import adaptation_step, teacher_step

from . import checks, pairs, speed

#: Table of the checks.
CHECKS = "Checks"


class Case(NamedTuple):
    """One thing to run: ``run()`` returns rows for ``table``; ``gpu``: not on a CPU."""

    table: str
    name: str
    run: Callable[[], list[dict[str, Any]]]
    gpu: bool = True


def build_cases(args: argparse.Namespace) -> list[Case]:
    """All cases, most telling first."""
    small, large = (variant(args, size=size) for size in (args.small, args.large))
    half = variant(large, amp="bfloat16")
    check = partial(Case, CHECKS, gpu=False)
    return [
        Case(CHECKS, "check neck", partial(checks.check_neck, small)),
        *(
            check(f"check {name}", partial(checks.check_system, name, small))
            for name in (*pairs.SMALL, *pairs.ALONE)
        ),
        Case(CHECKS, "check tests", checks.run_gpu_tests),
        *_necks(large, half),
        *_systems("Published networks", pairs.PUBLISHED, pairs.published_configs, large),
        *_systems("Published networks", pairs.PUBLISHED, pairs.published_configs, half),
        *_systems("Small networks", pairs.SMALL, pairs.small_configs, small, gpu=False),
        *_necks(small, variant(small, amp="bfloat16"), gpu=False),
        *_steps(large),
        *_necks(variant(large, amp="float16"), variant(half, channels_last=True)),
    ]


def variant(args: argparse.Namespace, **changed: Any) -> argparse.Namespace:
    """Arguments as the benchmarks of ``benchmarks/speed`` take them, some changed."""
    base: dict[str, Any] = {"amp": None, "batch": 2, "channels_last": False}
    return argparse.Namespace(**{**base, **vars(args), **changed})


def _necks(*variants: argparse.Namespace, gpu: bool = True) -> Iterator[Case]:
    for args in variants:
        height, width = args.size
        layout = ", channels last" if args.channels_last else ""
        table = f"Necks, {args.batch} pictures of {height} x {width}{layout}"
        name = f"{table}, {args.amp or 'float32'}"
        yield Case(table, name, partial(speed.compare_necks, args), gpu)


def _systems(
    table: str,
    names: Iterable[str],
    configs: speed.Configs,
    args: argparse.Namespace,
    gpu: bool = True,
) -> Iterator[Case]:
    for name in names:
        run = partial(speed.compare_system, name, configs, args)
        yield Case(table, f"{table}: {name}, {args.amp or 'float32'}", run, gpu)


def _steps(args: argparse.Namespace) -> Iterator[Case]:
    table = "Strong-Weak against the least"
    yield Case(table, table, partial(adaptation_step.compare_steps, args))
    table = "Self-training against labels given"
    for detector in teacher_step.DETECTORS:
        run = partial(teacher_step.compare, detector, args)
        yield Case(table, f"{table}: {detector}", run)


def select(cases: list[Case], words: list[str]) -> list[Case]:
    """Cases whose name has one of the words, in whatever letters."""
    return [case for case in cases if any(word.lower() in case.name.lower() for word in words)]
