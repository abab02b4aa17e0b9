"""Time, memory and MACs of FPN, PAFPN and DRFPN necks, interleaved in one process.

python -m benchmarks.speed.neck                 # a CPU-sized input
python -m benchmarks.speed.neck --size 800 1344 --device cuda --amp bfloat16
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from functools import partial
from typing import Any, Callable

import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling.backbone.fpn import LastLevelMaxPool
from fvcore.nn import FlopCountAnalysis

from benchmarks.report import format_table
from benchmarks.speed.options import memory_parser, parse_speed, peak_of_new_process, report_speed
from benchmarks.speed.plain_drfpn import STEPS, without
from benchmarks.timing import measure, peak_growth, timed
from drfpn_da.modeling import DRFPNNeck

CHANNELS = {"res2": 256, "res3": 512, "res4": 1024, "res5": 2048}
_OFF: dict[str, Any] = {"ppm": None, "srb": None, "crb": None}
# DRFPN in a batch of which every picture but the first is narrower.
PADDED = "DRFPN beside padding"
NECKS: dict[str, dict[str, Any]] = {
    "FPN": {"bottom_up_path": False, **_OFF},
    "PAFPN": _OFF,
    "DRFPN": {},
    PADDED: {},
    "DRFPN authors": {"authors_compat": True},
}


def build_neck(name: str) -> DRFPNNeck:
    """A neck over ResNet-50 widths, started at random: the warp then reads scattered samples."""
    torch.manual_seed(0)
    shapes = {
        f: ShapeSpec(channels=c, stride=4 * 2**i) for i, (f, c) in enumerate(CHANNELS.items())
    }
    return DRFPNNeck(
        shapes, list(shapes), 256, top_block=LastLevelMaxPool(), init="c2_xavier", **NECKS[name]
    )


def build_inputs(args: argparse.Namespace) -> dict[str, torch.Tensor]:
    """Bottom-up maps of random values, as after a ReLU."""
    torch.manual_seed(1)
    height, width = args.size
    layout = torch.channels_last if args.channels_last else torch.contiguous_format
    return {
        f: torch.rand(args.batch, c, height // 4 // 2**i, width // 4 // 2**i)
        .to(args.device, memory_format=layout)
        .requires_grad_()
        for i, (f, c) in enumerate(CHANNELS.items())
    }


def picture_sizes(name: str, args: argparse.Namespace) -> list[tuple[int, int]] | None:
    """Sizes of the pictures that a neck is told, if it is."""
    height, width = args.size
    narrow = [(height, width * 3 // 4)] * (args.batch - 1)
    return [(height, width), *narrow] if name == PADDED else None


def run_once(
    neck: DRFPNNeck,
    inputs: dict[str, torch.Tensor],
    backward: bool,
    args: argparse.Namespace,
    name: str = "",
) -> float:
    """Seconds of one pass, synchronised."""
    sizes = picture_sizes(name, args)
    amp: contextlib.AbstractContextManager = contextlib.nullcontext()
    if args.amp:
        amp = torch.autocast(args.device, dtype=getattr(torch, args.amp))

    def once() -> None:
        with amp, torch.set_grad_enabled(backward):
            total = sum(x.float().mean() for x in neck(inputs, sizes).values())
        if backward:
            total.backward()

    return timed(once, args.device)


def peak_memory(name: str, args: argparse.Namespace) -> float:
    """MiB that one forward and backward needs above model and inputs."""
    if args.device == "cuda":
        neck, inputs = build_neck(name).cuda(), build_inputs(args)
        return peak_growth(lambda: run_once(neck, inputs, True, args, name), "cuda")
    return peak_of_new_process("benchmarks.speed.neck", name)


def _peak_rss_growth(name: str, args: argparse.Namespace) -> float:
    neck, inputs = build_neck(name), build_inputs(args)
    return peak_growth(lambda: run_once(neck, inputs, True, args, name), "cpu")


def _timed_passes(
    args: argparse.Namespace, inputs: dict, plain_formulas: bool
) -> Iterator[tuple[str, bool, Callable[[], float]]]:
    necks = {name: build_neck(name).to(args.device) for name in NECKS}
    if args.channels_last:
        necks = {name: neck.to(memory_format=torch.channels_last) for name, neck in necks.items()}
    for backward in (False, True):
        for name, neck in necks.items():
            run = partial(run_once, neck, inputs, backward, args, name)
            yield name, backward, run
        if not plain_formulas:
            continue
        for label, names in [("plain formulas", ()), *((f"without {s}", (s,)) for s in STEPS)]:

            def plain(names: tuple = names, b: bool = backward) -> float:
                with without(*names):
                    return run_once(necks["DRFPN"], inputs, b, args)

            yield f"DRFPN {label}", backward, plain


def main() -> None:
    """Measure and write ``benchmarks/results/neck_<device>.json``."""
    parser = memory_parser(__doc__, size=(256, 256), batch=2, threads=2, rounds=7)
    parser.add_argument("--channels-last", action="store_true")
    args = parse_speed(parser)
    if args.memory_of:
        print(_peak_rss_growth(args.memory_of, args))
        return
    rows = times(args)
    for row in rows:
        if row["neck"] in NECKS:
            row |= _weight(row["neck"], args)
    print(format_table(rows))
    report_speed("neck", args, rows=rows)


def times(args: argparse.Namespace, plain_formulas: bool = True) -> list[dict[str, Any]]:
    """Return a row for each neck and, if asked, for DRFPN without each of its optimisations."""
    passes = list(_timed_passes(args, build_inputs(args), plain_formulas))
    forward = measure({name: run for name, backward, run in passes if not backward}, args.rounds)
    both = measure({name: run for name, backward, run in passes if backward}, args.rounds)
    return [
        {
            "neck": name,
            "forward ms": forward[name] * 1e3,
            "x FPN": forward[name] / forward["FPN"],
            "forward+backward ms": both[name] * 1e3,
            "x FPN ": both[name] / both["FPN"],
        }
        for name in forward
    ]


def _weight(name: str, args: argparse.Namespace) -> dict[str, float]:
    neck = build_neck(name).eval().to(args.device)
    counter = FlopCountAnalysis(neck, ({f: x.detach() for f, x in build_inputs(args).items()},))
    counter.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    return {
        "GMAC": counter.total() / 1e9,
        "peak MiB": peak_memory(name, args),
        "parameters": sum(p.numel() for p in neck.parameters()),
    }


if __name__ == "__main__":
    main()
