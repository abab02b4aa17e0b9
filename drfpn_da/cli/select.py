"""Choose which pictures to annotate: the work of ``drfpn-da select``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.evaluation import inference_context
from PIL import Image
from torch import Tensor, nn

from ..checkpoint import load_model
from ..config import setup_cfg
from ..data.disparity import read_disparity
from ..data.pictures import build_picture_loader, get_picture_dicts
from ..data.target_mapper import picture_only
from ..data.validate import check_classes
from ..engine import StudentUncertainty, pool_grid_features
from ..functional import (
    LazyDistances,
    normalize_disparity,
    standardize_features,
)
from ..labels import (
    Selection,
    check_budgets,
    random_order,
    select_by_score,
    select_in_cycles,
    student_error,
)
from ..labels.selection import PUBLISHED_WEIGHT, Uncertainty
from ..visualization import contact_sheet, read_rgb, save_new, save_picture

# Longer side of a picture on the contact sheet.
THUMBNAIL = 160


def load_records(args: argparse.Namespace, cfg: CfgNode) -> list[dict[str, Any]]:
    """Return the pool: pictures of data sets or of a folder, without labels."""
    skip = cfg.INPUT.SKIP_UNREADABLE_TARGET
    records = get_picture_dicts(args.datasets or cfg.DATASETS.TRAIN, args.images, skip)
    if not records:
        raise SystemExit(
            "no pictures: give --datasets or --images, or a config with DATASETS.TRAIN"
        )
    return [picture_only(record) for record in records]


def check_pool(args: argparse.Namespace, cfg: CfgNode) -> None:
    """Refuse a pool whose classes are not those of the model."""
    if not args.images:
        check_classes(cfg, args.datasets or cfg.DATASETS.TRAIN, "--datasets")


def depth_disagreement(records: list[dict], teacher: Path, student: Path) -> Tensor:
    """Return (N,) uncertainties: the masked logarithmic error of two networks' disparities."""
    indices = [json.loads((folder / "disparity.json").read_text()) for folder in (teacher, student)]
    errors = []
    for record in records:
        maps = []
        for folder, index in zip((teacher, student), indices):
            if record["file_name"] not in index["files"]:
                raise SystemExit(
                    f"{folder}/disparity.json has no disparity of {record['file_name']}"
                )
            path = folder / index["files"][record["file_name"]]
            stored = torch.from_numpy(read_disparity(path, index["scale"]))
            maps.append(normalize_disparity(stored[None]))
        errors.append(student_error(*maps))
    return torch.cat(errors)


def build_uncertainty(args: argparse.Namespace, records: list[dict]) -> Uncertainty:
    """Return what gives uncertainties in each cycle: two folders, or a student to be trained.

    Raises:
        SystemExit: too few options, or too many.
    """
    if not args.teacher or bool(args.student) == bool(args.student_config):
        raise SystemExit(
            f"--method {args.method} needs --teacher, and --student or --student-config"
        )
    if args.student:
        scores = depth_disagreement(records, Path(args.teacher), Path(args.student))
        return lambda _: scores
    student = argparse.Namespace(config_file=args.student_config)
    output = Path(args.output).with_suffix("").with_name(Path(args.output).stem + "_students")
    return StudentUncertainty(setup_cfg(student), records, Path(args.teacher), output)


def mean_entropy(model: nn.Module, loader: Any) -> Tensor:
    """Return (N,) mean entropies of a segmentor's predictions, in nats."""
    values = []
    with inference_context(model), torch.no_grad():
        for inputs in loader:
            output = model(inputs)[0]
            if "sem_seg" not in output:
                raise SystemExit("--method entropy needs a model that predicts semantic labels")
            logs = output["sem_seg"].float().log_softmax(0)
            values.append(-(logs.exp() * logs).sum(0).mean().cpu())
    return torch.stack(values)


def select(args: argparse.Namespace, cfg: CfgNode, records: list[dict]) -> list[int]:
    """Return the indices chosen by the method that was asked for."""
    pool, start = len(records), resume(args, records)
    workers = cfg.DATALOADER.NUM_WORKERS
    if args.method == "random":
        return random_order(pool, args.seed)[: args.budgets[-1]]
    uncertainty: Uncertainty | None = None
    if args.method in ("uncertainty", "both"):
        uncertainty = build_uncertainty(args, records)
    if args.method == "entropy":
        check_pool(args, cfg)
        scores = mean_entropy(load_model(cfg), build_picture_loader(cfg, records, workers))
        uncertainty = lambda _: scores  # noqa: E731
    if uncertainty is not None and args.method != "both":
        return select_by_score(pool, args.budgets, args.seed, uncertainty, start)
    check_pool(args, cfg)
    # Only the path of a module can name what lies behind the backbone.
    inside = "." not in args.feature or args.feature.startswith("backbone.")
    model = load_model(cfg, part="backbone." if inside else "")
    loader = build_picture_loader(cfg, records, workers)
    maps = pool_grid_features(model, loader, args.feature, tuple(args.grid))
    distances = LazyDistances(standardize_features(maps))
    return select_in_cycles(
        distances,
        args.budgets,
        args.seed,
        uncertainty,
        PUBLISHED_WEIGHT if args.published else args.weight,
        args.published,
        start,
    )


def resume(args: argparse.Namespace, records: list[dict]) -> list[int]:
    """Return the pool's indices of the pictures selected before."""
    if not args.start:
        return []
    places = {record["file_name"]: index for index, record in enumerate(records)}
    names = Selection.load(args.start).file_names
    missing = [name for name in names if name not in places]
    if missing:
        raise SystemExit(f"{missing[0]} of {args.start} is not in the pool")
    return [places[name] for name in names]


def draw_sheet(files: list[str], limit: int) -> np.ndarray:
    """Return a sheet of the first pictures, numbered in the order of their selection."""
    pictures = []
    for name in files[:limit]:
        with Image.fromarray(read_rgb(name)) as picture:
            picture.thumbnail((THUMBNAIL, THUMBNAIL))
            pictures.append(np.asarray(picture))
    return contact_sheet(pictures, [str(i) for i in range(1, len(pictures) + 1)], columns=8)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Do the work; return the selection and what was written."""
    cfg = setup_cfg(args)
    records = load_records(args, cfg)
    try:
        check_budgets(args.budgets, len(records))
    except ValueError as error:
        raise SystemExit(f"--budgets: {error}") from error
    indices = select(args, cfg, records)
    files = [records[i]["file_name"] for i in indices]
    selection = Selection(args.method, args.seed, args.budgets, files, indices, len(records))
    written = save_new(args.output, selection.save)
    sheet = save_picture(draw_sheet(files, args.sheet), written.with_suffix(".png"))
    print(f"{len(files)} of {len(records)} pictures selected; wrote {written} and {sheet}")
    return {"selection": selection, "json": str(written), "picture": str(sheet)}
