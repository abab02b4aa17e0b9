"""SCN's heads on wrong labels, over a frozen trunk: every arm, rate and seed in minutes.

    python -m benchmarks.effects.scn_heads streets --rates 0 0.1 0.2 0.3 --seeds 1 2 3
    DETECTRON2_DATASETS=/path/to/datasets python -m benchmarks.effects.scn_heads bccd

Heads, hook and journal are those of a training; the trunk has learnt from boxes alone (see
``frozen``). "Trained anew" is plain training on the file that ``tools/audit_labels.py export``
writes of "SCN + relabel". "Loss threshold" knows how many labels are wrong and gives the most
probable class to that many, those of the least probable label: by the plain heads on the pictures
they were trained on, or, in k folds, by heads that never saw the picture. Finished runs are kept.
"""

from __future__ import annotations

import functools
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import register_coco_instances

from benchmarks import studies
from benchmarks.effects.frozen import (
    Sample,
    Trunk,
    evaluate_heads,
    label_probabilities,
    relabel_samples,
    train_heads,
)
from benchmarks.effects.label_truth import (
    judge_journal,
    judge_threshold,
    make_noise,
    read_truth,
    summarise,
)
from benchmarks.effects.scn import ANEW, SOURCE, export
from benchmarks.effects.scn import ARMS as TRAINED
from drfpn_da.config.setup import base_cfg
from drfpn_da.data import load_indexed
from drfpn_da.engine import SCNRelabelHook
from drfpn_da.engine.confidence_sweep import fold_of
from drfpn_da.model_zoo import get_config_file

FOLDS, KFOLD = 3, "loss threshold, k folds"
SIZE = ["INPUT.MIN_SIZE_TRAIN", (128,), "INPUT.MIN_SIZE_TEST", 128]
SIZE += ["INPUT.MAX_SIZE_TRAIN", 256, "INPUT.MAX_SIZE_TEST", 256, "INPUT.MASK_FORMAT", "bitmask"]
STUDIES: dict[str, dict[str, Any]] = {
    "streets": {
        "config": "drfpn/streets/faster_rcnn_mobilenetv2_fpn_demo.yaml",
        "train": "streets_demo_clear_train",
        "test": "streets_small_clear_val",
        "options": SIZE,
    },
    "bccd": {
        "config": "drfpn/bccd/faster_rcnn_mobilenetv2_fpn.yaml",
        "train": "bccd_train",
        "test": "bccd_test",
        "options": [],
    },
}
TRUNK = [
    *("MODEL.META_ARCHITECTURE", "ProposalNetwork", "SEED", 7, "DATASETS.TEST", ()),
    *("SOLVER.BASE_LR", 0.01, "SOLVER.MAX_ITER", 300, "SOLVER.STEPS", (240,)),
    *("TEST.EVAL_PERIOD", 0),
]
HEADS = [
    *("MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE", 64, "SOLVER.BASE_LR", 0.02),
    *("SOLVER.MAX_ITER", 800, "SOLVER.STEPS", (640, 760), "SOLVER.WARMUP_ITERS", 40),
]
SCN = [*TRAINED["SCN"], "SCN_RELABEL.ENABLED", True]
ARMS: dict[str, list[Any]] = {
    "clean labels": [],
    "plain": [],
    "SCN": SCN,
    **{name: options for name, options in TRAINED.items() if name.startswith(SOURCE)},
    ANEW: [],
    KFOLD: [],
}
ALPHA = ["scn/alpha_mean", "scn/alpha_std", "scn/alpha_high", "scn/alpha_low", "scn/rr_active_frac"]
COLUMNS = ["AP", "AP50", "relabelled", "precision", "recall", "harm", "random precision"]
COLUMNS += [f"loss threshold {key}" for key in ("precision", "recall", "harm")] + ALPHA


class Pictures:
    """The pictures of a study as the trunk sees them.

    Attributes:
        records: of the training data.
        annotations: their numbering.
        views: samples of the records as they are, and mirrored.
        tests: samples of the test data.
        shape: of the trunk's maps.
    """

    def __init__(self, trunk: Trunk, train: str, test: str) -> None:
        self.records, self.annotations = load_indexed([train])
        self.views = [trunk.look(self.records, mirrored) for mirrored in (False, True)]
        self.tests = trunk.look(load_indexed([test], filter_empty=False)[0], mirrored=False)
        self.shape = trunk.output_shape


class Study:
    """The runs of a study; pictures are looked at only if a run is missing."""

    def __init__(self, name: str, work: Path, threads: int, opts: Sequence[str]) -> None:
        self.folder, self._settings, self._opts = work / name, STUDIES[name], list(opts)
        self._threads = threads
        for dataset in (self._settings["train"], self._settings["test"]):
            DatasetCatalog.get(dataset)
        meta = MetadataCatalog.get(self._settings["train"])
        self.clean, self._images = Path(meta.json_file), meta.image_root

    @functools.cached_property
    def pictures(self) -> Pictures:
        """All pictures, seen by the trunk, which is trained if need be."""
        folder = self.folder / "trunk"
        weights = folder / "model_final.pth"
        if not weights.exists():
            options = [*self._settings["options"], *TRUNK]
            studies.train(folder, self._settings["config"], options, self._threads)
        trunk = Trunk(self.cfg([*TRUNK, "MODEL.WEIGHTS", str(weights)]))
        return Pictures(trunk, self._settings["train"], self._settings["test"])

    def cfg(self, options: Sequence[Any]) -> CfgNode:
        """Return the study's config with options."""
        cfg = base_cfg()
        cfg.merge_from_file(get_config_file(self._settings["config"]))
        cfg.merge_from_list([*self._settings["options"], *options])
        return cfg

    def run(self, arm: str, rate: float, seed: int) -> dict[str, Any]:
        """Train one arm on one seed's flips unless its result exists; return what was measured."""
        noisy = make_noise(self.clean, self.folder, rate, seed)
        stem = f"clean_seed{seed}" if arm == "clean labels" else noisy.stem
        folder = self.folder / f"{stem}_{studies.slug(arm)}"
        result = folder / "result.json"
        if not result.exists():
            folder.mkdir(parents=True, exist_ok=True)
            found = self._measure(arm, noisy, rate, seed, folder)
            result.write_text(json.dumps(found))
            print(rate, seed, arm, json.dumps(found), flush=True)
        return {"arm": arm, "rate": rate, "seed": seed, **json.loads(result.read_text())}

    def _measure(
        self, arm: str, noisy: Path, rate: float, seed: int, folder: Path
    ) -> dict[str, float]:
        if arm == KFOLD:
            return self._judge_folds(noisy, seed, folder)
        file = noisy
        if arm == "clean labels":
            file = self.clean
        elif arm == ANEW:
            self.run(SOURCE, rate, seed)
            journal = self.folder / f"{noisy.stem}_{studies.slug(SOURCE)}" / "relabels.jsonl"
            file = export(journal, folder / "corrected.json")
        cfg, views = self._prepare(file, folder, ARMS[arm], seed)
        hook = SCNRelabelHook.from_config(cfg) if cfg.SCN_RELABEL.ENABLED else None
        model, trainer = train_heads(cfg, self.pictures.shape, views, [hook] if hook else [])
        found = evaluate_heads(model, self.pictures.tests, self._settings["test"])
        if hook:
            found.update(judge_journal(folder / "relabels.jsonl", noisy, seed))
            histories = trainer.storage.histories()
            found.update(
                {key: statistics.mean(v for v, _ in histories[key].values()) for key in ALPHA}
            )
        if arm == "plain":
            found.update(self._judge_threshold(label_probabilities(model, views), noisy))
        return found

    def _prepare(
        self, file: Path, folder: Path, options: Sequence[Any], seed: int
    ) -> tuple[CfgNode, list[list[Sample]]]:
        """Register an annotation file; return its config and samples with its classes."""
        name = f"labels_{folder.name}"
        if name not in DatasetCatalog.list():
            register_coco_instances(name, {}, str(file), self._images)
        cfg = self.cfg([*HEADS, *options, "SEED", seed, "OUTPUT_DIR", str(folder), *self._opts])
        cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = (name,), (self._settings["test"],)
        cfg.freeze()
        classes = torch.from_numpy(load_indexed([name])[1].classes)
        return cfg, [relabel_samples(view, classes) for view in self.pictures.views]

    def _judge_threshold(self, probabilities: dict, noisy: Path) -> dict[str, float]:
        labels, true = read_truth(noisy)
        ids, names = self.pictures.annotations.annotation_ids, self.pictures.annotations.class_names
        by_id = {ids[i]: dict(zip(names, map(float, row))) for i, row in probabilities.items()}
        found = judge_threshold({i: labels[i] for i in by_id}, by_id, true)
        return {f"loss threshold {key}": value for key, value in found.items()}

    def _judge_folds(self, noisy: Path, seed: int, folder: Path) -> dict[str, float]:
        cfg, views = self._prepare(noisy, folder, [], seed)
        folds, probabilities = fold_of(self.pictures.records, FOLDS), {}
        for fold in range(FOLDS):
            inside = [[s for s, f in zip(view, folds) if f != fold] for view in views]
            outside = [[s for s, f in zip(view, folds) if f == fold] for view in views]
            model, _ = train_heads(cfg, self.pictures.shape, inside)
            probabilities.update(label_probabilities(model, outside))
        return self._judge_threshold(probabilities, noisy)


def main(words: Sequence[str] | None = None) -> None:
    """Run a study and write ``benchmarks/results/scn_heads_<study>.json``."""
    parser = studies.study_parser(__doc__, "scn_heads", STUDIES, ARMS)
    parser.add_argument("--rates", type=float, nargs="+", default=[0.2, 0.3, 0.1, 0.0])
    args = studies.parse_study(parser, words)
    torch.set_num_threads(args.threads)
    study = Study(args.study, args.work, args.threads, args.opts)
    jobs = [(arm, r, seed) for r in args.rates for seed in args.seeds for arm in args.arms]
    runs = studies.run_all(study.run, jobs, at_once=1)
    settings = {**STUDIES[args.study], "trunk": TRUNK, "heads": HEADS, "folds": FOLDS}
    studies.report(args, "scn_heads", summarise(runs, COLUMNS), runs, **settings)


if __name__ == "__main__":
    main()
