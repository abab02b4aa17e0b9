"""Write predicted disparity: the work of ``drfpn-da depth``."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.evaluation import inference_context
from PIL import Image

from ..checkpoint import load_model
from ..config import setup_cfg
from ..data.pictures import build_picture_loader, get_picture_dicts
from ..files import write_whole
from ..visualization import draw_disparity, read_rgb

#: Stored value of disparity 1.
SCALE = 65535


def plan_files(pictures: Sequence[str], output: Path, overwrite: bool) -> dict[str, Path]:
    """Return picture -> PNG to write.

    Raises:
        SystemExit: a file exists and may not be overwritten, or two pictures want the same.
    """
    absolute = [os.path.abspath(name) for name in pictures]
    common = os.path.commonpath([os.path.dirname(name) for name in absolute])
    planned = {
        name: output / Path(os.path.relpath(path, common)).with_suffix(".png")
        for name, path in zip(pictures, absolute)
    }
    if len(set(planned.values())) < len(planned):
        raise SystemExit(f"two pictures below {common} differ only in their suffix: rename one")
    existing = [path for path in [*planned.values(), output / "disparity.json"] if path.exists()]
    if existing and not overwrite:
        raise SystemExit(
            f"{existing[0]} exists ({len(existing)} files in all); choose another --output, or "
            "write --overwrite"
        )
    return planned


def write_disparity(disparity: np.ndarray, path: Path) -> None:
    """Write (H, W) disparity in [0, 1] as 16-bit PNG, whole or not at all."""
    stored = Image.fromarray(np.rint(np.clip(disparity, 0, 1) * SCALE).astype(np.uint16))
    write_whole(path, lambda file: stored.save(file, "PNG"), durable=False)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Do the work; return what it wrote as JSON."""
    cfg = setup_cfg(args)
    skip = cfg.INPUT.SKIP_UNREADABLE_TARGET
    records = get_picture_dicts(args.datasets or cfg.DATASETS.TEST, args.images, skip)
    if not records:
        raise SystemExit("no pictures: give --datasets or --images, or a config with DATASETS.TEST")
    output = Path(args.output)
    planned = plan_files([record["file_name"] for record in records], output, args.overwrite)
    model = load_model(cfg)
    loader = build_picture_loader(cfg, records, cfg.DATALOADER.NUM_WORKERS)
    written = {}
    with inference_context(model), torch.no_grad():
        for number, inputs in enumerate(loader):
            predicted = model(inputs)[0]
            if "disparity" not in predicted:
                raise SystemExit(
                    f"{cfg.MODEL.META_ARCHITECTURE} predicts {sorted(predicted)}, no disparity: "
                    "give the config of a depth network"
                )
            disparity, picture = predicted["disparity"].cpu().numpy(), inputs[0]["file_name"]
            write_disparity(disparity, planned[picture])
            written[picture] = str(planned[picture].relative_to(output))
            if number < args.draw:
                drawn = draw_disparity(read_rgb(picture), disparity)
                folder = output / "drawn"
                folder.mkdir(exist_ok=True)
                Image.fromarray(drawn).save(folder / f"{number:04d}_{Path(picture).stem}.png")
    result = {"scale": SCALE, "weights": cfg.MODEL.WEIGHTS, "files": written}
    (output / "disparity.json").write_text(json.dumps(result, indent=1) + "\n")
    print(f"wrote {len(written)} files below {output}")
    return result
