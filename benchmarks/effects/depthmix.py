"""Few labels on generated streets: what mixing by depth adds, and what it loses without true depth.

    python -m benchmarks.effects.depthmix tiny --jobs 2
    DETECTRON2_DATASETS=/path/to/datasets python -m benchmarks.effects.depthmix camvid

Arms differ in the mask alone; a seed gives all arms the same labelled pictures, data and start.
Until MODEL.DEPTH_MIX.START_ITER they are the same run, which is therefore trained once, by the
supervised arm: the others resume from its checkpoint of that iteration.
Controls keep DepthMix and take its depth away: "shuffled" gives each picture the disparity of
another, "constant" and "flipped" (far becomes near) say what they do. On CamVid, disparity comes
from a network that learns it from the video first. Frames of the video are the validation set: the
depth network sees these pictures, without labels. The study "colours" compares the rules of
MODEL.DEPTH_MIX.STRONG.COLOR_RULE on the tiny streets, with fewer iterations. Differences between
arms are paired by seed, with a bootstrap interval of 95 %. Finished runs are kept.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.data import DatasetCatalog
from PIL import Image

import drfpn_da.data  # noqa: F401  (registers the streets)
from benchmarks import studies
from drfpn_da.cli.main import call
from drfpn_da.config import setup_cfg

SIZES = ("mini", "small", "tiny")
CAMVID = "camvid"
STUDIES = {size: f"depth_mix/streets/semseg_mobilenetv2_{size}.yaml" for size in SIZES}
STUDIES[CAMVID] = "depth_mix/camvid/semseg_mobilenetv2_fpn.yaml"
COLOURS = "colours"
STUDIES[COLOURS] = STUDIES["tiny"]
CAMVID_DEPTH = ("depth/camvid/mobilenetv2.yaml", "camvid_train")
CONTROLS = ("shuffled", "constant", "flipped")
MASK = "MODEL.DEPTH_MIX.MASK"
SUPERVISED = "supervised"
ARMS: dict[str, list[Any]] = {
    SUPERVISED: ["MODEL.ADAPT.BASELINE", "source_only"],
    "no mix": [MASK, "none"],
    "CutMix": [MASK, "cut"],
    "ClassMix": [MASK, "class"],
    "DepthMix": [],
    **{f"DepthMix, {control}": [] for control in CONTROLS},
}
PUBLISHED_COLOURS = "published colours"
ARMS[PUBLISHED_COLOURS] = ["MODEL.DEPTH_MIX.STRONG.COLOR_RULE", "published"]
COLOUR_OPTIONS = ["SOLVER.MAX_ITER", 320, "TEST.EVAL_PERIOD", 320]
METRICS = {"mIoU": "sem_seg/mIoU", "boundary IoU": "sem_seg/mBoundaryIoU"}
DRAWS = 10000


@cache
def spoil_disparity(name: str, control: str, root: Path) -> Path:
    """Write the disparity of a data set as a control wants it; return the folder."""
    folder = root / f"{name}_{control}"
    if (folder / "complete").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    records = DatasetCatalog.get(name)
    order = np.random.default_rng(0).permutation(len(records))
    # One cycle: nobody keeps its own.
    others = dict(zip(np.roll(order, 1).tolist(), order.tolist()))
    for i, record in enumerate(records):
        source = records[others[i]] if control == "shuffled" else record
        values = np.array(Image.open(source["disparity_file_name"])).astype(np.int64)
        if control == "constant":
            values[:] = values.mean()
        elif control == "flipped":
            values = values.max() + values.min() - values
        target = folder / Path(record["file_name"]).with_suffix(".png").name
        Image.fromarray(values.astype(np.uint16)).save(target)
    (folder / "complete").touch()
    return folder


@cache
def learn_disparity(root: Path, threads: int, config: str, name: str) -> Path:
    """Train a depth network; return the folder of its disparity of a data set.

    The network is in a folder beside it, ``<data set>_network``.
    """
    network, folder = root / f"{name}_network", root / name
    weights = network / "model_final.pth"
    if not weights.exists():
        studies.train(network, config, ["SEED", 1], threads)
    if not (folder / "disparity.json").exists():
        words = ["--config-file", config, "--datasets", name, "--output", str(folder)]
        words += ["--overwrite", "--draw", "8", "MODEL.WEIGHTS", str(weights)]
        call(["depth", *words])
    return folder


def shared_start(study: str, opts: list[Any]) -> int:
    """Return the iteration until which all arms are the same run."""
    args = argparse.Namespace(config_file=STUDIES[study], opts=[str(word) for word in opts])
    start: int = setup_cfg(args).MODEL.DEPTH_MIX.START_ITER
    return start


def run_folder(study: str, arm: str, seed: int, args: argparse.Namespace) -> Path:
    """Return where a run is."""
    folder: Path = args.work / study / f"{studies.slug(arm.lower())}_seed{seed}"
    return folder


def begin_as(folder: Path, other: Path, iteration: int) -> None:
    """Let a run begin from another's checkpoint, unless it has begun."""
    name = f"model_{iteration - 1:07d}.pth"
    if iteration and not (folder / "last_checkpoint").exists():
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(other / name, folder / name)
        (folder / "last_checkpoint").write_text(name)


def run(study: str, arm: str, seed: int, args: argparse.Namespace) -> studies.Run:
    """Train one arm with one seed unless its results exist; return the last evaluation."""
    folder = run_folder(study, arm, seed, args)
    start = shared_start(study, args.opts)
    if not studies.last_evaluation(folder, METRICS):
        options = ["SEED", seed, "DATASETS.LABELLED.SEED", seed, *ARMS[arm], *args.opts]
        control = arm.partition(", ")[2]
        if study == CAMVID:
            root = learn_disparity(args.work / "disparity", args.threads, *CAMVID_DEPTH)
            options += ["INPUT.DISPARITY.ROOT", root]
        elif control:
            data = f"streets_{study}_clear_train"
            root = spoil_disparity(data, control, args.work / "disparity")
            options += ["INPUT.DISPARITY.ROOT", root]
        if arm == SUPERVISED:
            options += ["SOLVER.CHECKPOINT_PERIOD", start] if start else []
        else:
            begin_as(folder, run_folder(study, SUPERVISED, seed, args), start)
        studies.train_forked(folder, STUDIES[study], options, args.threads)
    return {"arm": arm, "seed": seed, **studies.last_evaluation(folder, METRICS)}


def run_seed(study: str, seed: int, args: argparse.Namespace) -> list[studies.Run]:
    """Train all arms with one seed, the supervised one first: the others begin as it does."""
    order = sorted(args.arms, key=lambda arm: arm != SUPERVISED)
    return [run(study, arm, seed, args) for arm in order]


def interval(values: list[float]) -> list[float]:
    """Return the bootstrap interval of 95 % of a mean."""
    generator = np.random.default_rng(0)
    means = generator.choice(values, (DRAWS, len(values))).mean(axis=1)
    return [round(float(x), 3) for x in np.quantile(means, [0.025, 0.975])]


def compare(runs: list[studies.Run]) -> list[dict[str, Any]]:
    """Return DepthMix minus every other arm, paired by seed."""
    rows = []
    for arm in dict.fromkeys(run["arm"] for run in runs):
        values = studies.differences(runs, "DepthMix", arm, "mIoU")
        if arm != "DepthMix" and values:
            mean = round(statistics.mean(values), 3)
            rows.append({"DepthMix minus": arm, "mean": mean, "95 %": interval(values)})
    return rows


def main() -> None:
    """Run a study and write ``benchmarks/results/depthmix_<study>.json``."""
    usual = [arm for arm in ARMS if arm != PUBLISHED_COLOURS]
    parser = studies.study_parser(__doc__, "depthmix", STUDIES, ARMS, usual, range(1, 9))
    args = studies.parse_study(parser)
    if args.study == COLOURS:
        args.arms = [SUPERVISED, "DepthMix", PUBLISHED_COLOURS]
        args.opts = [*COLOUR_OPTIONS, *args.opts]
    if args.study == CAMVID:
        args.arms = [arm for arm in args.arms if arm.partition(", ")[2] not in CONTROLS]
        learn_disparity(args.work / "disparity", args.threads, *CAMVID_DEPTH)
    for arm in args.arms:  # once, before several runs at a time want them
        if control := arm.partition(", ")[2]:
            data = f"streets_{args.study}_clear_train"
            spoil_disparity(data, control, args.work / "disparity")
    of_seeds = studies.run_all(
        run_seed, [(args.study, seed, args) for seed in args.seeds], args.jobs
    )
    runs = [run for runs in of_seeds for run in runs]
    rows = studies.table_over_seeds(runs, list(METRICS), "DepthMix", ["mIoU"])
    compared = compare(runs)
    print(studies.format_table(compared))
    studies.report(args, "depthmix", rows, runs, comparisons=compared)


if __name__ == "__main__":
    main()
