"""Draw and measure the distance of domains: the work of ``drfpn-da domains``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from torch import Tensor

from ..checkpoint import load_model
from ..config import setup_cfg
from ..data.pictures import build_picture_loader, get_picture_dicts
from ..data.validate import check_classes
from ..engine import pool_features
from ..functional import principal_components, proxy_a_distance
from ..visualization import DomainPanel, draw_domains, save_picture, save_text


def pick_records(names: Sequence[str], number: int) -> list[dict[str, Any]]:
    """Return at most ``number`` records of data sets, evenly spread over them, without labels."""
    records = get_picture_dicts(names)
    chosen = np.linspace(0, len(records) - 1, min(number, len(records))).round().astype(int)
    return [records[i] for i in chosen]


def pool_domain(
    cfg: CfgNode, model: Any, records: list[dict], taps: list[str]
) -> dict[str, Tensor]:
    """Return tap -> (pictures, C) of records, read as for evaluation."""
    loader = build_picture_loader(cfg, records, num_workers=0)
    return pool_features(model, loader, taps)


def project(
    method: str, source: Tensor, target: Tensor, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the points of both domains, (N, 2) and (M, 2), in one plane."""
    both = torch.cat([source, target])
    if method == "pca":
        points = principal_components(both).numpy()
    else:
        from sklearn.manifold import TSNE

        perplexity = min(30.0, (len(both) - 1) / 3)
        tsne = TSNE(perplexity=perplexity, init="pca", random_state=seed)
        points = tsne.fit_transform(both.double().numpy())
    return points[: len(source)], points[len(source) :]


def default_taps(cfg: CfgNode) -> list[str]:
    """Return the features that MODEL.STRONG_WEAK aligns or would align."""
    node = cfg.MODEL.STRONG_WEAK
    return list(dict.fromkeys([*node.LOCAL.FEATURES, *node.GLOBAL.FEATURES]))


def titles_of(weights: Sequence[str]) -> list[str]:
    """Return a short name for each checkpoint, different for each."""
    if len(weights) == 2:
        return ["before", "after"]
    names = [Path(path).stem or "random weights" for path in weights]
    return [n if names.count(n) == 1 else f"{n} ({i})" for i, n in enumerate(names, start=1)]


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Do the work; return what it wrote as JSON."""
    methods = args.methods
    cfg = setup_cfg(args)
    sets = {
        "source": args.source or list(cfg.DATASETS.TRAIN),
        "target": args.target or list(cfg.DATASETS.TARGET),
    }
    for domain, key in (("source", "TRAIN"), ("target", "TARGET")):
        if not sets[domain]:
            raise SystemExit(
                f"No {domain} pictures: give --{domain}, or a config with DATASETS.{key}"
            )
    check_classes(cfg, sets["source"], "--source")  # of the target no label is read
    records = {domain: pick_records(names, args.number) for domain, names in sets.items()}
    taps = args.taps or default_taps(cfg)
    weights = args.weights or [cfg.MODEL.WEIGHTS]
    result: dict[str, Any] = {
        "sets": sets,
        "pictures": {domain: len(chosen) for domain, chosen in records.items()},
        "splits": args.splits,
        "seed": args.seed,
        "models": [],
    }
    panels: dict[tuple[str, str], list[DomainPanel]] = {(t, m): [] for t in taps for m in methods}
    for title, path in zip(titles_of(weights), weights):
        model = load_model(cfg, path, part="backbone.")
        source, target = (pool_domain(cfg, model, records[d], taps) for d in ("source", "target"))
        distances = {}
        for tap in taps:
            values = proxy_a_distance(source[tap], target[tap], args.splits, args.seed)
            mean, spread = float(values.mean()), float(values.std(correction=0))
            distances[tap] = {"mean": mean, "std": spread, "values": values.tolist()}
            print(f"{title:12} {tap:12} proxy A-distance {mean:6.3f} (std {spread:.3f})")
            for method in methods:
                label = (
                    f"{tap}, {title}: {mean:.2f}" if method == "pca" else f"{tap}, {title}, t-SNE"
                )
                points = project(method, source[tap], target[tap], args.seed)
                panels[tap, method].append(DomainPanel(label, *points))
        result["models"].append({"title": title, "weights": path, "a_distance": distances})
    grid = [panel for row in panels.values() for panel in row]
    names = (" + ".join(sets["source"]), " + ".join(sets["target"]))
    picture = save_picture(draw_domains(grid, max(2, len(weights)), names), args.output)
    text = json.dumps(result, indent=1) + "\n"
    written = save_text(text, picture.with_suffix(".json"))
    print(f"wrote {picture} and {written}")
    return {**result, "picture": str(picture), "json": str(written)}
