"""Tables and pictures of slender objects: the work of ``drfpn-da slender``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from tabulate import tabulate

from ..data.coco import load_coco
from ..data.slenderness import annotation_slenderness
from ..evaluation.slender_misses import Miss, worst_misses
from ..visualization import read_rgb, save_picture
from ..visualization.slender import draw_misses, plot_slenderness


def read_labels(path: str) -> dict[str, Any]:
    """Read and check a COCO file."""
    try:
        return load_coco(path)
    except (OSError, ValueError) as error:
        raise SystemExit(str(error)) from None


def read_results(path: str) -> list[dict[str, Any]]:
    """Read detections in COCO's format."""
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SystemExit(f"{path}: {error}") from None
    if not isinstance(data, list):
        raise SystemExit(f"{path}: is not a list of COCO results")
    return data


def by_class(data: dict[str, Any]) -> dict[str, np.ndarray]:
    """Return the slenderness of all annotations but crowds, by class, the largest class first."""
    names = {category["id"]: category["name"] for category in data["categories"]}
    kept = [a for a in data["annotations"] if not a.get("iscrowd", 0)]
    values = annotation_slenderness(kept)
    owners = np.array([a["category_id"] for a in kept])
    found = {name: values[owners == number] for number, name in names.items()}
    largest = sorted(found.items(), key=lambda item: -len(item[1]))
    return {"all": values, **{name: these for name, these in largest if len(these)}}


def table(values: dict[str, np.ndarray], edges: list[float]) -> list[dict[str, Any]]:
    """Count by class and bin."""
    rows = []
    bounds = [0.0, *edges, np.inf]
    for name, these in values.items():
        row = {"class": name, "objects": len(these), "median": float(np.median(these))}
        counts = [int(((these >= a) & (these < b)).sum()) for a, b in zip(bounds, bounds[1:])]
        for low, high, count in zip(bounds, bounds[1:], counts):
            label = f"< {high:.3g}" if low == 0 else f">= {low:.3g}"
            row[label] = count
            row[f"{label}, %"] = 100 * count / len(these)
        rows.append(row)
    return rows


def sheet(misses: list[Miss], data: dict[str, Any], folder: Path) -> np.ndarray:
    """Draw misses, each with its class, slenderness and best overlap."""
    names = {category["id"]: category["name"] for category in data["categories"]}
    files = {image["id"]: image["file_name"] for image in data["images"]}
    return draw_misses(
        [read_rgb(str(folder / files[m.annotation["image_id"]])) for m in misses],
        [m.annotation["bbox"] for m in misses],
        [m.nearest["bbox"] if m.nearest else None for m in misses],
        [
            f"{names[m.annotation['category_id']]}, s {m.slenderness:.2f}, IoU {m.overlap:.2f}"
            for m in misses
        ],
    )


def run(args: argparse.Namespace) -> list[Path]:
    """Do the work; return the files it wrote."""
    data = read_labels(args.annotations)
    try:
        values = by_class(data)
    except ValueError as error:
        raise SystemExit(f"{args.annotations}: {error}") from None
    if not len(values["all"]):
        raise SystemExit(f"{args.annotations}: has no annotation but crowds")
    print(tabulate(table(values, args.edges), headers="keys", floatfmt=".3g"))
    stem = Path(args.annotations).stem
    folder = Path(args.output)
    written = [
        save_picture(plot_slenderness(values, args.edges), folder / f"{stem}_slenderness.png")
    ]
    if args.results:
        misses = worst_misses(
            data["annotations"],
            read_results(args.results),
            below=args.edges[-1],
            score=args.score,
            number=args.number,
        )
        if misses:
            picture = sheet(misses, data, Path(args.images))
            written.append(save_picture(picture, folder / f"{stem}_misses.png"))
        else:
            print("No slender object was missed.")
    print(*written, sep="\n")
    return written
