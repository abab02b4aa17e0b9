"""What the discriminators learn on features that stay as they are: the ceiling of alignment.

    python -m benchmarks.effects.discriminators

Features of clear and foggy streets from the pretrained body; every discriminator is trained alone,
by SGD as in the small configs, and judged on other pictures.
"""

from __future__ import annotations

from typing import Any, Callable

import torch
from detectron2.data import DatasetMapper
from torch import Tensor

from benchmarks.report import RESULTS, format_table, plain_parser, write_report
from drfpn_da import model_zoo
from drfpn_da.checkpoint import load_model
from drfpn_da.data import get_target_dicts
from drfpn_da.functional import SOURCE, TARGET
from drfpn_da.layers import DomainDiscriminator, GlobalDiscriminator, LocalDiscriminator
from drfpn_da.modeling import FeatureTaps

DOMAINS = ("clear", "foggy")
CONFIG = "drfpn/streets/faster_rcnn_mobilenetv2_fpn_demo.yaml"
RES2, RES4 = 24, 96
BATCH = 4
ARMS: dict[str, tuple[str, Callable[[], DomainDiscriminator]]] = {
    "local, published start": ("res2", lambda: LocalDiscriminator(RES2, init_std=0.01)),
    "local": ("res2", lambda: LocalDiscriminator(RES2)),
    "global, BN": ("res4", lambda: GlobalDiscriminator(RES4, norm="BN")),
    "global, GN": ("res4", lambda: GlobalDiscriminator(RES4, norm="GN")),
    "global, no norm": ("res4", lambda: GlobalDiscriminator(RES4, norm="")),
}


def extract(pictures: int) -> dict[str, dict[str, Tensor]]:
    """Return domain -> feature -> (pictures, C, H, W) from the pretrained body."""
    cfg = model_zoo.get_config(CONFIG)
    cfg.INPUT.MIN_SIZE_TEST = 128
    model = load_model(cfg, part="backbone.")
    taps = FeatureTaps(model)
    taps.require(["res2", "res4"])
    mapper = DatasetMapper(cfg, False)
    found: dict[str, dict[str, Tensor]] = {}
    for domain in DOMAINS:
        records = get_target_dicts(f"streets_small_{domain}_train")[:pictures]
        parts: list[dict[str, Tensor]] = []
        for first in range(0, pictures, 8):
            inputs = [mapper(record) for record in records[first : first + 8]]
            images = model.preprocess_image(inputs).tensor
            with torch.no_grad():
                parts.append(dict(taps.collect(lambda x=images: model.backbone(x))))
        found[domain] = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    return found


def train(
    build: Callable[[], DomainDiscriminator], source: Tensor, target: Tensor, seed: int, steps: int
) -> float:
    """Return the balanced accuracy, on the last quarter of the pictures, after ``steps``."""
    torch.manual_seed(seed)
    module = build()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.02, momentum=0.9, weight_decay=1e-4)
    held = len(source) * 3 // 4
    for _ in range(steps):
        batches = [x[torch.randint(0, held, (BATCH,))] for x in (source, target)]
        loss = sum(
            module.domain_loss(module(x), domain) for x, domain in zip(batches, (SOURCE, TARGET))
        )
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 5.0)
        optimizer.step()
    module.eval()
    with torch.no_grad():
        a, b = (module.target_probability(module(x[held:])) for x in (source, target))
    return ((a < 0.5).float().mean().item() + (b >= 0.5).float().mean().item()) / 2


def main() -> None:
    """Train every arm and write ``benchmarks/results/discriminators.json``."""
    parser = plain_parser(__doc__)
    parser.add_argument("--pictures", type=int, default=160, help="of each domain")
    parser.add_argument("--steps", type=int, nargs="+", default=[50, 200])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    args = parser.parse_args()
    features = extract(args.pictures)
    rows: list[dict[str, Any]] = []
    for name, (feature, build) in ARMS.items():
        source, target = (features[domain][feature] for domain in DOMAINS)
        row: dict[str, Any] = {"discriminator": name, "feature": feature}
        for steps in args.steps:
            values = [train(build, source, target, seed, steps) for seed in args.seeds]
            row[f"accuracy after {steps}"] = ", ".join(f"{value:.2f}" for value in values)
        rows.append(row)
    print(format_table(rows))
    path = RESULTS / "discriminators.json"
    write_report(path, {"settings": vars(args), "rows": rows})


if __name__ == "__main__":
    main()
