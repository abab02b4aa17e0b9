"""What single optimisations save: each part beside the plain way of writing it, in one process.

    python -m benchmarks.speed.parts

- MobileNetV2 with frozen norms: forward and backward, and inference, of torchvision's network with
  detectron2's frozen norms, and of :class:`drfpn_da.modeling.MobileNetV2`, which folds them into
  the convolutions and, on a CPU, works on maps whose channels come last.
- The strong view of a picture: torchvision's transforms on integers with one kernel for all
  strengths of the blur, and :class:`drfpn_da.data.views.StrongView`.

On a CPU all is processor time; medians, everything interleaved.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial

import torch
from detectron2.layers import FrozenBatchNorm2d
from torch import Tensor, nn
from torchvision.models import mobilenet_v2
from torchvision.transforms import v2

from benchmarks.report import format_table
from benchmarks.speed.options import parse_speed, report_speed, speed_parser
from benchmarks.timing import computed, measure
from drfpn_da.data.views import StrongView
from drfpn_da.modeling import MobileNetV2

ENDS = (3, 6, 13, 17)
VIEWS_A_CALL = 10


class PlainBody(nn.Module):
    """torchvision's layers one after the other."""

    def __init__(self) -> None:
        super().__init__()
        layers = mobilenet_v2(weights=None).features[:18]
        self.features = FrozenBatchNorm2d.convert_frozen_batchnorm(layers)

    def forward(self, x: Tensor) -> dict[int, Tensor]:
        outputs = {}
        for i, block in enumerate(self.features):
            x = block(x)
            if i in ENDS:
                outputs[i] = x
        return outputs


class PlainView:
    """The transforms of the strong view, one after the other."""

    def __init__(self) -> None:
        self._photometric = v2.Compose(
            [
                v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
                v2.RandomGrayscale(p=0.2),
                v2.RandomApply([v2.GaussianBlur(13, (0.1, 2.0))], p=0.5),
            ]
        )
        self._erase = [
            v2.RandomErasing(p, (low, high), (narrow, wide), value="random")
            for p, low, high, narrow, wide in (
                (0.7, 0.05, 0.2, 0.3, 3.3),
                (0.5, 0.02, 0.2, 0.1, 6.0),
                (0.3, 0.02, 0.2, 0.05, 8.0),
            )
        ]

    def __call__(self, picture: Tensor) -> Tensor:
        values = v2.functional.to_dtype(self._photometric(picture), torch.float32, scale=True)
        for erase in self._erase:
            values = erase(values)
        return v2.functional.to_dtype(values.clamp(0, 1), torch.uint8, scale=True)


def train(body: nn.Module, x: Tensor) -> None:
    """One forward and backward."""
    body.zero_grad()
    torch.stack([value.mean() for value in body(x).values()]).sum().backward()


@torch.no_grad()
def infer(body: nn.Module, x: Tensor) -> None:
    """One forward."""
    body(x)


def look(view: Callable[[Tensor], Tensor], picture: Tensor) -> None:
    """Several views, the same random numbers for all."""
    torch.manual_seed(0)
    for _ in range(VIEWS_A_CALL):
        view(picture)


def compare(args: argparse.Namespace) -> list[dict[str, object]]:
    """Return a row for each part."""
    x = torch.randn(args.batch, 3, *args.size, device=args.device)
    picture = torch.randint(0, 255, (3, 600, 1200), dtype=torch.uint8)
    plain, ours = PlainBody().to(args.device), MobileNetV2().to(args.device)
    plain_view, our_view = PlainView(), StrongView(image_format="RGB")
    # Part -> the plain way, ours, and how often a call does it.
    parts: dict[str, tuple[Callable[[], None], Callable[[], None], int]] = {
        "MobileNetV2, training": (partial(train, plain, x), partial(train, ours, x), 1),
        "MobileNetV2, inference": (partial(infer, plain, x), partial(infer, ours, x), 1),
        "strong view of 1200 x 600": (
            partial(look, plain_view, picture),
            partial(look, our_view, picture),
            VIEWS_A_CALL,
        ),
    }
    runs: dict[str, Callable[[], float]] = {}
    for name, (before, after, _) in parts.items():
        runs[f"{name}, plain"] = partial(computed, before, args.device)
        runs[name] = partial(computed, after, args.device)
    found = measure(runs, args.rounds)
    return [
        {
            "part": name,
            "plain, ms": found[f"{name}, plain"] / count * 1e3,
            "ms": found[name] / count * 1e3,
            "x plain": found[name] / found[f"{name}, plain"],
        }
        for name, (_, _, count) in parts.items()
    ]


def main() -> None:
    """Measure and write ``benchmarks/results/parts_<device>.json``."""
    args = parse_speed(speed_parser(__doc__, size=(128, 256), batch=4, threads=1, rounds=15))
    rows = compare(args)
    print(format_table(rows))
    report_speed("parts", args, rows=rows)


if __name__ == "__main__":
    main()
