"""Arguments and report of the benchmarks that measure steps on random pictures."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.report import RESULTS, plain_parser, write_report


def speed_parser(
    doc: str | None, *, size: tuple[int, int], threads: int, rounds: int, batch: int | None = None
) -> argparse.ArgumentParser:
    """Return the arguments of a benchmark, with its defaults; without a batch if it has its own."""
    parser = plain_parser(doc)
    parser.add_argument("--size", type=int, nargs=2, default=size, metavar=("HEIGHT", "WIDTH"))
    if batch is not None:
        parser.add_argument("--batch", type=int, default=batch, help="pictures of each kind")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--threads", type=int, default=threads)
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument(
        "--output", type=Path, help="default: benchmarks/results/<name>_<device>.json"
    )
    return parser


def random_pictures(
    args: argparse.Namespace, domain: str
) -> Iterator[tuple[Tensor, torch.Generator]]:
    """Yield ``args.batch`` pictures of ``args.size``, each with the generator for its labels."""
    generator = torch.Generator().manual_seed(len(domain))
    for _ in range(args.batch):
        yield (
            torch.randint(0, 255, (3, *args.size), generator=generator, dtype=torch.uint8),
            generator,
        )


def memory_parser(doc: str | None, **defaults: Any) -> argparse.ArgumentParser:
    """Return :func:`speed_parser` for a benchmark that measures memory and reduced precision."""
    parser = speed_parser(doc, **defaults)
    parser.add_argument("--amp", choices=["float16", "bfloat16"])
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    return parser


def parse_speed(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Read the command line and set the number of threads."""
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    return args


def peak_of_new_process(module: str, name: str) -> float:
    """Run this benchmark anew with ``--memory-of`` and return what it prints.

    The peak of a process never falls: each measurement needs its own.
    """
    command = [sys.executable, "-m", module, *sys.argv[1:], "--memory-of", name]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def report_speed(name: str, args: argparse.Namespace, **result: Any) -> None:
    """Write settings and results to ``--output``."""
    settings = {k: v for k, v in vars(args).items() if k not in ("output", "memory_of")}
    path = args.output or RESULTS / f"{name}_{args.device}.json"
    write_report(path, {"settings": settings, **result})
