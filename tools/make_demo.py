#!/usr/bin/env python
"""Train a small DRFPN detector and a plain FPN on generated streets and write a page of results.

    make demo                                   # the same with set-up
    tools/make_demo.py --output output/my_demo --iterations 1000

Both models have the same budget: body, pictures, iterations, seed. They train on clear scenes and
are tested on clear and on foggy ones. A run never overwrites another: a new folder is made.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.engine import DefaultPredictor
from detectron2.utils.file_io import PathManager

from drfpn_da.config import argument_parser, setup_cfg
from drfpn_da.engine import Trainer, start_run
from drfpn_da.visualization import (
    Page,
    contact_sheet,
    curve,
    draw_predictions,
    draw_truth,
    free_path,
    plot_curves,
    read_metrics,
    read_rgb,
    save_picture,
)

CONFIGS = {
    "DRFPN": "drfpn/streets/faster_rcnn_mobilenetv2_drfpn_demo.yaml",
    "FPN": "drfpn/streets/faster_rcnn_mobilenetv2_fpn_demo.yaml",
}
THRESHOLD = 0.4


@dataclass
class Run:
    """A trained model and what it cost."""

    cfg: CfgNode
    parameters: int
    wall: float
    cpu: float

    @property
    def records(self) -> list[dict[str, float]]:
        """The lines of the run's metrics.json."""
        return read_metrics(Path(self.cfg.OUTPUT_DIR) / "metrics.json")

    def final(self, key: str) -> float:
        """The last value of a metric, NaN if there is none."""
        values = curve(self.records, key)[1]
        return float(values[-1]) if len(values) else float("nan")


def pretrained_available(weights: str) -> bool:
    """Whether the weights named in the config can be had on this machine."""
    try:
        PathManager.get_local_path(weights)
    except (OSError, ImportError, ValueError) as error:
        print(f"No pretrained body, training from scratch: {error}")
        return False
    return True


def train(name: str, config: str, folder: Path, options: list[str], threads: int) -> Run:
    """Train one model through the public API, as tools/train_net.py does."""
    torch.set_num_threads(threads)
    args = argument_parser().parse_args(["--config-file", config])
    args.opts = [*options, "OUTPUT_DIR", str(folder / name.lower())]
    cfg = start_run(setup_cfg(args), args)
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=False)
    parameters = sum(p.numel() for p in trainer.model.parameters())
    wall, cpu = time.perf_counter(), time.process_time()
    trainer.train()
    return Run(cfg, parameters, time.perf_counter() - wall, time.process_time() - cpu)


def train_quietly(name: str, config: str, folder: Path, options: list[str], threads: int) -> Run:
    """Like :func:`train`, with everything it says in ``console.txt`` of the run's folder."""
    place = folder / name.lower()
    place.mkdir(parents=True)
    with open(place / "console.txt", "w", buffering=1) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        return train(name, config, folder, options, threads)


def train_all(folder: Path, options: list[str], parallel: bool) -> dict[str, Run]:
    """Train every model, side by side on half of the cores each, or one after the other."""
    cores = os.cpu_count() or 1
    if not parallel:
        return {n: train(n, c, folder, options, cores) for n, c in CONFIGS.items()}
    # Two processes of one thread make more of two cores than one process of two threads.
    threads = max(1, cores // len(CONFIGS))
    with ProcessPoolExecutor(len(CONFIGS), mp_context=get_context("spawn")) as pool:
        jobs = {
            name: pool.submit(train_quietly, name, config, folder, options, threads)
            for name, config in CONFIGS.items()
        }
        while wait(jobs.values(), timeout=15, return_when=FIRST_EXCEPTION).not_done:
            if any(job.done() and job.exception() for job in jobs.values()):
                break
            print("  ".join(progress(name, folder / name.lower()) for name in jobs), flush=True)
        return {name: job.result() for name, job in jobs.items()}


def progress(name: str, run_folder: Path) -> str:
    """Return one run's last iteration and loss."""
    path = run_folder / "metrics.json"
    records = read_metrics(path) if path.exists() else []
    iterations, losses = curve(records, "total_loss")
    if not len(losses):
        return f"{name:>6}: starting            "
    return f"{name:>6}: iteration {iterations[-1] + 1:4d}, loss {losses[-1]:.3f}"


def draw_scenes(runs: dict[str, Run], dataset: str, indices: list[int]) -> list[np.ndarray]:
    """Rows of truth and each model's detections, for some pictures of a dataset."""
    metadata, records = MetadataCatalog.get(dataset), DatasetCatalog.get(dataset)
    predictors = {}
    for name, run in runs.items():
        cfg = run.cfg.clone()
        cfg.defrost()
        cfg.MODEL.WEIGHTS = str(Path(cfg.OUTPUT_DIR) / "model_final.pth")
        predictors[name] = DefaultPredictor(cfg)
    pictures = []
    for index in indices:
        image = read_rgb(records[index]["file_name"])
        boxes = [{k: v for k, v in a.items() if k != "segmentation"}
                 for a in records[index]["annotations"]]  # fmt: skip
        pictures.append(draw_truth(image, {"annotations": boxes}, metadata))
        for predictor in predictors.values():
            outputs = predictor(image[:, :, ::-1])
            pictures.append(draw_predictions(image, outputs, metadata, THRESHOLD))
    return pictures


def busiest(dataset: str, number: int) -> list[int]:
    """Indices of the pictures with most objects."""
    counts = [-len(record["annotations"]) for record in DatasetCatalog.get(dataset)]
    return sorted(np.argsort(counts, kind="stable")[:number].tolist())


def results_table(runs: dict[str, Run], tests: list[str]) -> tuple[list[str], list[list]]:
    """Headers and rows of the comparison."""
    headers = ["pyramid"]
    for test in tests:
        headers += [f"AP {_domain(test)}", f"AP50 {_domain(test)}"]
    headers += ["parameters", "training, minutes", "CPU minutes"]
    rows = []
    for name, run in runs.items():
        scores = [run.final(f"{t}/bbox/{m}") for t in tests for m in ("AP", "AP50")]
        rows.append([name, *scores, run.parameters, run.wall / 60, run.cpu / 60])
    return headers, rows


def class_table(runs: dict[str, Run], tests: list[str]) -> tuple[list[str], list[list]]:
    """AP of every class, model and domain."""
    columns = [(name, test) for test in tests for name in runs]
    headers = ["class", *(f"{name} {_domain(test)}" for name, test in columns)]
    classes = MetadataCatalog.get(tests[0]).thing_classes
    rows = [
        [label, *(runs[name].final(f"{test}/bbox/AP-{label}") for name, test in columns)]
        for label in classes
    ]
    return headers, rows


def _domain(dataset: str) -> str:
    return next((word for word in ("clear", "foggy") if word in dataset), dataset)


def write_page(runs: dict[str, Run], folder: Path, started: float) -> list[Path]:
    """Write the overview picture and the page; return their paths."""
    first = next(iter(runs.values())).cfg
    tests = list(first.DATASETS.TEST)
    sheets, pictures = {}, []
    columns = ["ground truth", *runs]
    indices = busiest(tests[0], 3)
    for test in tests:
        drawn = draw_scenes(runs, test, indices)
        titles = [f"{_domain(test)}: {column}" for column in columns] * len(indices)
        sheets[test] = contact_sheet(drawn, titles, columns=len(columns))
        pictures += drawn[: len(columns)]
    titles = [f"{_domain(test)}: {column}" for test in tests for column in columns]
    overview = contact_sheet(pictures, titles, columns=len(columns))

    panels = {"loss": ["total_loss"]}
    panels.update({f"AP, {_domain(test)} scenes": [f"{test}/bbox/AP"] for test in tests})
    curves = plot_curves({name: run.records for name, run in runs.items()}, panels)
    head, rows = results_table(runs, tests)
    page = Page(
        "DRFPN and FPN on generated streets",
        "Two detectors with the same body, data, iterations and seed; only the feature pyramid "
        f"differs. Trained on {len(DatasetCatalog.get(first.DATASETS.TRAIN[0]))} clear pictures, "
        "tested on scenes they have not seen, in clear air and in fog. A budget this small shows "
        "that everything works; it does not rank the two.",
    )
    page.table(head, rows).text(f"Detections with a score of {THRESHOLD} or more:")
    for test, sheet in sheets.items():
        page.heading(f"{_domain(test).capitalize()} scenes").picture(sheet, test)
    page.heading("Curves").picture(curves, "Training loss, and box AP at each evaluation")
    page.heading("Average precision by class").table(*class_table(runs, tests))
    page.heading("Go on from here").code(_next_steps(runs))
    page.text(
        f"{first.SOLVER.MAX_ITER} iterations of {first.SOLVER.IMS_PER_BATCH} pictures, seed "
        f"{first.SEED}, {time.time() - started:.0f} s in all, both models trained side by side; "
        f"torch {torch.__version__}, {os.cpu_count()} cores, {platform.machine()}."
    )
    return [page.save(folder / "index.html"), save_picture(overview, folder / "overview.png")]


def _next_steps(runs: dict[str, Run]) -> str:
    run = next(iter(runs.values()))
    folder = run.cfg.OUTPUT_DIR
    return (
        f"# your own pictures\npython tools/demo.py --config-file {folder}/config.yaml --input "
        f"picture.jpg --output drawn MODEL.WEIGHTS {folder}/model_final.pth\n"
        "# longer training\npython tools/make_demo.py --iterations 2000\n"
        f"# every number of a run\ntensorboard --logdir {Path(folder).parent}"
    )


def get_parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", default="output/demo", help="new folder of this run")
    parser.add_argument("--iterations", type=int, help="instead of the configs' MAX_ITER")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--one-process", action="store_true", help="train one after the other")
    parser.add_argument("opts", nargs=argparse.REMAINDER, help="KEY VALUE pairs for both models")
    return parser


def main(argv: list[str] | None = None) -> Path:
    """Run the demonstration and return its folder."""
    args = get_parser().parse_args(argv)
    started = time.time()
    folder = free_path(args.output)
    options = ["SEED", str(args.seed), *args.opts]
    if args.iterations:
        n = args.iterations
        options += ["SOLVER.MAX_ITER", str(n), "SOLVER.STEPS", str((n * 5 // 6,))]
        options += ["SOLVER.CHECKPOINT_PERIOD", str(n), "TEST.EVAL_PERIOD", str(max(n // 3, 1))]
    cfg = setup_cfg(argparse.Namespace(config_file=CONFIGS["DRFPN"], opts=options))
    if not pretrained_available(cfg.MODEL.WEIGHTS):
        options += ["MODEL.WEIGHTS", "", "MODEL.MOBILENETV2.NORM", "BN"]
    for dataset in (*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST):
        print(f"{dataset}: {len(DatasetCatalog.get(dataset))} pictures")
    print(f"Training {' and '.join(CONFIGS)}, {cfg.SOLVER.MAX_ITER} iterations each", flush=True)
    runs = train_all(folder, options, parallel=not args.one_process)
    page, overview = write_page(runs, folder, started)
    head, rows = results_table(runs, list(next(iter(runs.values())).cfg.DATASETS.TEST))
    print("\n" + "\n".join(f"{h:>20}: {'  '.join(_cell(r[i]) for r in rows)}"
                           for i, h in enumerate(head)))  # fmt: skip
    print(f"\nPage      {page.resolve()}\nPicture   {overview.resolve()}")
    for name, run in runs.items():
        print(f"{name:<9} {Path(run.cfg.OUTPUT_DIR).resolve()} (model_final.pth, metrics.json)")
    print(f"{time.time() - started:.0f} s in all")
    return folder


def _cell(value: object) -> str:
    return f"{value:12.2f}" if isinstance(value, float) else f"{value!s:>12}"


if __name__ == "__main__":
    main()
