"""Detectors on wrong labels: plain, SCN, SCN with relabelling, and clean labels.

    python -m benchmarks.effects.scn streets --rates 0 0.1 0.2 0.3 --seeds 1 2 3
    DETECTRON2_DATASETS=/path/to/datasets python -m benchmarks.effects.scn bccd

Class labels of the training set are flipped (symmetric; `--pairwise` confuses pairs), every arm is
trained on the same flips and evaluated on clean labels. Every run is a `tools/train_net.py`;
finished runs are kept and not repeated. Relabel precision is the share of changed annotations that
now have their true class, recall the share of flipped ones that are restored, harm the share of
right ones that were changed. "Random" changes as many annotations at random.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog

from benchmarks import studies
from drfpn_da.data.noise import pairwise_noise, symmetric_noise
from drfpn_da.labels import read_journal

STUDIES: dict[str, dict[str, Any]] = {
    "streets": {
        "config": "drfpn/streets/faster_rcnn_mobilenetv2_fpn_demo.yaml",
        "train": "streets_demo_clear_train",
        "test": "streets_demo_clear_val",
        "options": ["INPUT.MASK_FORMAT", "bitmask", "TEST.EVAL_PERIOD", 0],
        "confusions": {"person": "rider", "rider": "person"},
    },
    "bccd": {
        "config": "drfpn/bccd/faster_rcnn_mobilenetv2_fpn.yaml",
        "train": "bccd_train",
        "test": "bccd_test",
        "options": ["TEST.EVAL_PERIOD", 0],
        "confusions": {"RBC": "WBC", "WBC": "RBC"},
    },
}
_SCN = ["MODEL.ROI_HEADS.NAME", "SCNROIHeads"]
_RELABEL = [*_SCN, "SCN_RELABEL.ENABLED", True, "SCN_RELABEL.DRY_RUN", False]
_PUBLISHED = [
    *(*_RELABEL, "SCN_RELABEL.PROBS", "scaled", "SCN_RELABEL.MIN_VOTES", 1),
    *("SCN_RELABEL.MIN_IOU", 0.5, "SCN_RELABEL.MIN_AGREE", 0.0, "SCN_RELABEL.PATIENCE", 1),
    *("SCN_RELABEL.START_FRACTION", 0.15, "SCN_RELABEL.STOP_FRACTION", 1.0),
    *("SCN_RELABEL.MARGIN_2", 0.2, "SCN_RELABEL.PRIOR_POWER", 0.0),
    *("SCN_RELABEL.MAX_FRACTION", 1.0, "SCN_RELABEL.MAX_TOTAL", 1.0),
    *("SCN_RELABEL.MAX_CLASS_LOSS", 1.0),
]
ARMS: dict[str, list[Any]] = {
    "clean labels": [],
    "plain": [],
    "SCN": _SCN,
    "SCN + relabel": _RELABEL,
    "SCN + relabel, low": [*_RELABEL, "SCN_RELABEL.SCOPE", "low"],
    "SCN + relabel, published": _PUBLISHED,
}

COLUMNS = [
    *("AP", "AP50", "relabelled", "precision", "recall", "harm", "random precision"),
    *("scn/alpha_mean", "scn/alpha_std", "scn/rr_active_frac"),
]


def clean_file(study: str) -> tuple[Path, Path]:
    """Annotation file and picture folder of the clean training set, generated if need be."""
    name = STUDIES[study]["train"]
    DatasetCatalog.get(name)
    meta = MetadataCatalog.get(name)
    return Path(meta.json_file), Path(meta.image_root)


def make_noise(study: str, rate: float, seed: int, args: argparse.Namespace) -> Path:
    """Write the noisy annotation file of a seed, and its truth beside it, unless they exist."""
    kind = "pairwise" if args.pairwise else "symmetric"
    path = args.work / study / f"{kind}_{rate:g}_seed{seed}.json"
    if not path.exists():
        data = json.loads(clean_file(study)[0].read_text())
        if args.pairwise:
            noisy, truth = pairwise_noise(data, rate, STUDIES[study]["confusions"], seed)
        else:
            noisy, truth = symmetric_noise(data, rate, seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".truth.json").write_text(json.dumps(truth))
        path.write_text(json.dumps(noisy))
    return path


def run(study: str, arm: str, rate: float, seed: int, args: argparse.Namespace) -> dict[str, Any]:
    """Train one arm on one seed's flips unless its results exist; return what was measured."""
    noisy = make_noise(study, rate, seed, args)
    folder = args.work / study / f"{noisy.stem}_{studies.slug(arm)}"
    if not _evaluation(folder):
        clean, images = clean_file(study)
        annotations = clean if arm == "clean labels" else noisy
        options = ["DATASETS.REGISTER", [["noisy_labels", str(annotations), str(images)]]]
        options += ["SEED", seed, "DATASETS.TRAIN", "('noisy_labels',)"]
        options += ["DATASETS.TEST", f"('{STUDIES[study]['test']}',)"]
        options += [*STUDIES[study]["options"], *ARMS[arm], *args.opts]
        studies.train(folder, STUDIES[study]["config"], options, args.threads)
    result = {"arm": arm, "rate": rate, "seed": seed, **_evaluation(folder)}
    if (folder / "relabels.jsonl").exists():
        result.update(judge_journal(folder / "relabels.jsonl", noisy, seed))
    return result


def judge_journal(journal: Path, noisy: Path, seed: int) -> dict[str, float]:
    """Precision, recall and harm of the labels in the end, and of as many random changes."""
    data = json.loads(noisy.read_text())
    truth = json.loads(noisy.with_suffix(".truth.json").read_text())
    names = {c["id"]: c["name"] for c in data["categories"]}
    labels = {a["id"]: names[a["category_id"]] for a in data["annotations"] if not a["iscrowd"]}
    true = {**labels, **{f["id"]: names[f["true"]] for f in truth["flips"]}}
    final = dict(labels)
    for entry in read_journal(journal).entries:
        final[entry.annotation_id] = entry.new
    found = judge(labels, final, true)
    rng = random.Random(seed)
    guesses = dict(labels)
    changed = sum(final[i] != labels[i] for i in labels)
    for i in rng.sample(sorted(labels), changed):
        guesses[i] = rng.choice([name for name in names.values() if name != labels[i]])
    chance = judge(labels, guesses, true)
    return {**found, **{f"random {key}": value for key, value in chance.items()}}


def judge(labels: dict, final: dict, true: dict) -> dict[str, float]:
    """Compare final labels with the noisy and the true ones; percentages, NaN where undefined."""
    changed = [i for i in labels if final[i] != labels[i]]
    flipped = [i for i in labels if true[i] != labels[i]]
    right = sum(final[i] == true[i] for i in changed)
    harmed = sum(true[i] == labels[i] for i in changed)

    def percent(part: int, whole: int) -> float:
        return 100 * part / whole if whole else float("nan")

    return {
        "relabelled": percent(len(changed), len(labels)),
        "precision": percent(right, len(changed)),
        "recall": percent(sum(final[i] == true[i] for i in flipped), len(flipped)),
        "harm": percent(harmed, len(labels) - len(flipped)),
    }


def _evaluation(folder: Path) -> dict[str, float]:
    """Last AP, and importances averaged over training."""
    lines = studies.read_lines(folder)
    result = studies.last_evaluation(folder, {"AP": "bbox/AP", "AP50": "bbox/AP50"})
    if not result:
        return {}
    for key in ("scn/alpha_mean", "scn/alpha_std", "scn/rr_active_frac"):
        values = [line[key] for line in lines if key in line]
        if values:
            result[key] = statistics.mean(values)
    return result


def summarise(runs: list[dict[str, Any]], columns: Sequence[str] = COLUMNS) -> list[dict[str, Any]]:
    """Mean and standard deviation over seeds, by rate and arm."""
    rows = []
    for rate, arm in dict.fromkeys((r["rate"], r["arm"]) for r in runs):
        mine = [r for r in runs if (r["rate"], r["arm"]) == (rate, arm)]
        row: dict[str, Any] = {"flipped": rate, "arm": arm, "seeds": len(mine)}
        for column in columns:
            values = np.array([r[column] for r in mine if column in r and np.isfinite(r[column])])
            spread = f" ± {values.std(ddof=1):.2f}" if len(values) > 1 else ""
            row[column] = f"{values.mean():.2f}{spread}" if len(values) else ""
        rows.append(row)
    return rows


def main(words: Sequence[str] | None = None) -> None:
    """Run a study and write ``benchmarks/results/scn_<study>.json``."""
    parser = studies.study_parser(__doc__, "scn", STUDIES, ARMS)
    parser.add_argument("--rates", type=float, nargs="+", default=[0.0, 0.1, 0.2, 0.3])
    parser.add_argument("--pairwise", action="store_true")
    args = studies.parse_study(parser, words)
    jobs = [
        (args.study, arm, rate, seed, args)
        for rate in args.rates
        for seed in args.seeds
        for arm in args.arms
    ]
    runs = studies.run_all(run, jobs, args.jobs)
    name = "scn_pairwise" if args.pairwise else "scn"
    studies.report(args, name, summarise(runs), runs, **STUDIES[args.study])


if __name__ == "__main__":
    main()
