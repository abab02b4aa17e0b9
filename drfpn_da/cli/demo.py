"""Train, measure and write the page: the work of ``drfpn-da demo``."""

from __future__ import annotations

import argparse
import os
import platform
import time
from pathlib import Path

import torch
from detectron2.utils.file_io import PathManager

from ..config import setup_cfg
from ..visualization import Page, free_path, save_picture
from .demo_page import adaptation, mixing, noise, slender
from .demo_page.plan import ADAPTED, plan
from .demo_page.runs import Run, train_all

NAMES = ("source_only", "adapted", "mixed")


def pretrained_available(weights: str) -> bool:
    """Whether the weights named in the config can be had on this machine."""
    try:
        PathManager.get_local_path(weights)
    except (OSError, ImportError, ValueError) as error:
        print(f"No pretrained body, training from scratch: {error}")
        return False
    return True


def write_page(folder: Path, seconds: float | None = None) -> list[Path]:
    """Write the page and the overview picture of finished trainings; return their paths.

    Args:
        folder: with the folders of the trainings.
        seconds: that everything before took, if known.
    """
    runs = {name: Run(folder / name) for name in NAMES}
    page = Page(
        "drfpn_da in four chapters",
        "Detectors for domains without labels, trained just now on generated streets. "
        "Small models and few minutes: this shows how things work; docs/results.md has the "
        "studies over seeds.",
    )
    scene = adaptation.add_chapter(page, runs)
    noise.add_chapter(page, folder)
    mixing.add_chapter(page, runs["mixed"])
    slender.add_chapter(page, runs["adapted"])
    page.heading("Go on from here").code(_next_steps(runs["adapted"]))
    cfg = runs["adapted"].cfg
    facts = [f"seed {cfg.SEED}", f"torch {torch.__version__}", f"{os.cpu_count()} cores"]
    if seconds is not None:
        facts.insert(0, f"trained in {seconds / 60:.1f} minutes")
    page.text(", ".join([*facts, platform.machine()]) + ".")
    return [page.save(folder / "index.html"), save_picture(scene, folder / "overview.png")]


def _next_steps(run: Run) -> str:
    return (
        f"# your own pictures\ndrfpn-da predict --config-file {run.folder}/config.yaml "
        f"--input picture.jpg --output drawn MODEL.WEIGHTS {run.folder}/model_final.pth\n"
        "# your own fog: labelled pictures here, others there\n"
        f"drfpn-da train --config-file {ADAPTED} \\\n"
        "    --register-images fog /my/foggy/pictures DATASETS.TARGET \"('fog',)\"\n"
        "# longer training\ndrfpn-da demo --length 3\n"
        f"# every number of a run\ntensorboard --logdir {run.folder.parent}"
    )


def run(args: argparse.Namespace) -> Path:
    """Run the demonstration and return its folder."""
    if args.redraw:
        _announce(write_page(args.redraw))
        return args.redraw
    started = time.time()
    folder = free_path(args.output)
    folder.mkdir(parents=True)
    weights = setup_cfg(argparse.Namespace(config_file=ADAPTED, opts=[])).MODEL.WEIGHTS
    sizes = (args.train_size, args.test_size)
    trainings = plan(folder, args.length, args.seed, sizes, pretrained_available(weights))
    print(f"Training {', '.join(t.name for t in trainings)}", flush=True)
    train_all(trainings, folder, 1 if args.one_process else min(2, os.cpu_count() or 1))
    _announce(write_page(folder, time.time() - started))
    print(f"{time.time() - started:.0f} s in all")
    return folder


def _announce(paths: list[Path]) -> None:
    for what, path in zip(("Page", "Picture"), paths):
        print(f"{what:<9} {path.resolve()}")
