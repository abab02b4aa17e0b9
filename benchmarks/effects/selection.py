"""Do selected pictures cover rare kinds of a pool? Farthest points against chance; no training.

    python -m benchmarks.effects.selection

The pool is ``streets_demo_clear_train`` with about 5 % of rare pictures: night, thick haze,
close-up and empty road, a few of each, made from its own pictures. Features are those of ImageNet's
MobileNetV2. Counted is the share of the rare kinds with at least one picture among the selected.
The uncertainty of the sweep is a stand-in that is larger for rare pictures, with noise: the sweep
shows the two limits of the weight, not what a trained network's uncertainty would give.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from detectron2.data import DatasetCatalog
from torch import Tensor

from benchmarks.report import RESULTS, format_table, plain_parser, write_report
from drfpn_da import model_zoo
from drfpn_da.checkpoint import load_model
from drfpn_da.engine import pool_grid_features
from drfpn_da.functional import pairwise_distances, standardize_features
from drfpn_da.labels import random_order, select_diverse, select_in_cycles
from drfpn_da.visualization import read_rgb

CONFIG = "depth/streets/mobilenetv2_small.yaml"
DATASET = "streets_demo_clear_train"
KINDS = ("night", "haze", "close-up", "empty")
PER_KIND = 2
BUDGETS = (10, 20, 40)
WEIGHTS = (0.0, 0.1, 1.0, 10.0, 1e6)
FEATURE = "res4"


def make_rare(picture: Tensor, kind: str) -> Tensor:
    """Turn a (3, H, W) picture into one of a rare kind."""
    x = picture.float()
    height, width = x.shape[-2:]
    if kind == "night":
        x = x * 0.15
    elif kind == "haze":
        x = 0.15 * x + 0.85 * 200
    elif kind == "close-up":
        middle = x[:, 3 * height // 8 : 5 * height // 8, 3 * width // 8 : 5 * width // 8]
        x = F.interpolate(middle[None], (height, width), mode="bilinear")[0]
    else:
        x = x.mean(dim=2, keepdim=True).expand(-1, -1, width)
    return x.round().clamp(0, 255).to(torch.uint8)


def build_pool(size: int) -> tuple[list[Tensor], list[str]]:
    """Return pictures and the kind of each, "" for ordinary ones."""
    records = DatasetCatalog.get(DATASET)[:size]
    pictures = [torch.from_numpy(read_rgb(r["file_name"]).transpose(2, 0, 1)) for r in records]
    kinds = [""] * len(pictures)
    rng = np.random.default_rng(0)
    chosen = rng.permutation(len(pictures))[: PER_KIND * len(KINDS)]
    for place, index in enumerate(chosen):
        kinds[index] = KINDS[place % len(KINDS)]
        pictures[index] = make_rare(pictures[index], kinds[index])
    return pictures, kinds


def coverage(order: list[int], kinds: list[str]) -> float:
    """Return the share of the rare kinds that are selected, in percent."""
    return 100 * len({kinds[i] for i in order} - {""}) / len(KINDS)


def summarise(rule: str, orders: list[list[int]], kinds: list[str]) -> dict[str, Any]:
    """Return a row with the coverage at each budget, mean over the orders."""
    means = {
        f"coverage at {budget} (%)": float(np.mean([coverage(o[:budget], kinds) for o in orders]))
        for budget in BUDGETS
    }
    return {"rule": rule, "seeds": len(orders), **means}


def main() -> None:
    """Measure and write ``benchmarks/results/selection_coverage.json``."""
    parser = plain_parser(__doc__)
    parser.add_argument("--pool", type=int, default=160, help="pictures")
    parser.add_argument("--seeds", type=int, default=20, help="starts of the farthest points")
    parser.add_argument("--random", type=int, default=1000, help="random choices")
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    pictures, kinds = build_pool(args.pool)
    cfg = model_zoo.get_config(CONFIG)
    cfg.MODEL.DEVICE = "cpu"
    model = load_model(cfg, part="backbone.")
    maps = pool_grid_features(model, ([{"image": picture}] for picture in pictures), FEATURE)
    distances = pairwise_distances(standardize_features(maps))
    pool, last = len(pictures), BUDGETS[-1]
    seeds = range(args.seeds)
    rows = [
        summarise("random", [random_order(pool, s)[:last] for s in range(args.random)], kinds),
        summarise("farthest points", [select_diverse(distances, last, s) for s in seeds], kinds),
    ]
    generator = torch.Generator().manual_seed(0)
    rare = torch.tensor([float(kind != "") for kind in kinds])
    uncertainty = rare + torch.rand(pool, generator=generator)
    ranked = torch.argsort(uncertainty, descending=True).tolist()
    rows.append(summarise("highest uncertainty", [ranked[:last]], kinds))
    for weight in WEIGHTS:
        orders = [
            select_in_cycles(distances, BUDGETS, s, lambda _: uncertainty, weight) for s in seeds
        ]
        rows.append(summarise(f"both, weight {weight:g}", orders, kinds))
    print(format_table(rows))
    settings = {"pool": pool, "rare": int(rare.sum()), "kinds": KINDS, "feature": FEATURE}
    write_report(args.results / "selection_coverage.json", {"settings": settings, "rows": rows})


if __name__ == "__main__":
    main()
