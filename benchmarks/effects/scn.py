"""Detectors on wrong labels: plain, SCN, SCN with relabelling, and clean labels.

    python -m benchmarks.effects.scn streets --rates 0 0.1 0.2 0.3 --seeds 1 2 3
    DETECTRON2_DATASETS=/path/to/datasets python -m benchmarks.effects.scn bccd

Class labels of the training set are flipped (symmetric; `--pairwise` confuses pairs), every arm is
trained on the same flips and evaluated on clean labels. "Trained anew" is plain training on the
file that ``tools/audit_labels.py export`` writes of "SCN + relabel". Every run is a
`tools/train_net.py`; finished runs are kept and not repeated. What is measured: ``label_truth``.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from detectron2.data import DatasetCatalog, MetadataCatalog

from benchmarks import studies
from benchmarks.effects.label_truth import judge_journal, make_noise, summarise
from drfpn_da.labels import RelabelStore
from drfpn_da.labels.export import corrected_coco
from drfpn_da.model_zoo import get_config_file

# At the configs' rate for streets some seeds diverge.
_RATE = ["SOLVER.BASE_LR", 0.01]
SOURCE, ANEW = "SCN + relabel", "trained anew"
STUDIES: dict[str, dict[str, Any]] = {
    "streets": {
        "config": "drfpn/streets/faster_rcnn_mobilenetv2_fpn_demo.yaml",
        "train": "streets_demo_clear_train",
        "test": "streets_demo_clear_val",
        "options": [*("INPUT.MASK_FORMAT", "bitmask", "TEST.EVAL_PERIOD", 0), *_RATE],
        "confusions": {"person": "rider", "rider": "person"},
    },
    "bccd": {
        "config": "drfpn/bccd/faster_rcnn_mobilenetv2_fpn.yaml",
        "train": "bccd_train",
        "test": "bccd_test",
        "options": ["TEST.EVAL_PERIOD", 0, *_RATE],
        "confusions": {"RBC": "WBC", "WBC": "RBC"},
    },
}
_SCN = ["MODEL.ROI_HEADS.NAME", "SCNROIHeads"]
_RELABEL = [*_SCN, "SCN_RELABEL.ENABLED", True, "SCN_RELABEL.DRY_RUN", False]
_RULES = yaml.safe_load(
    Path(get_config_file("scn/streets/faster_rcnn_mobilenetv2_fpn_mini_published.yaml")).read_text()
)["SCN_RELABEL"]
_PUBLISHED = [
    *_RELABEL,
    *(word for key, value in _RULES.items() for word in (f"SCN_RELABEL.{key}", value)),
]
ARMS: dict[str, list[Any]] = {
    "clean labels": [],
    "plain": [],
    "SCN": _SCN,
    SOURCE: _RELABEL,
    "SCN + relabel, low": [*_RELABEL, "SCN_RELABEL.SCOPE", "low"],
    "SCN + relabel, published": _PUBLISHED,
    ANEW: [],
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


def run(study: str, arm: str, rate: float, seed: int, args: argparse.Namespace) -> dict[str, Any]:
    """Train one arm on one seed's flips unless its results exist; return what was measured."""
    clean, images = clean_file(study)
    confusions = STUDIES[study]["confusions"] if args.pairwise else None
    noisy = make_noise(clean, args.work / study, rate, seed, confusions)
    stem = f"clean_seed{seed}" if arm == "clean labels" else noisy.stem
    folder = args.work / study / f"{stem}_{studies.slug(arm)}"
    if not _evaluation(folder):
        annotations = clean if arm == "clean labels" else noisy
        if arm == ANEW:
            run(study, SOURCE, rate, seed, args)
            journal = noisy.parent / f"{noisy.stem}_{studies.slug(SOURCE)}" / "relabels.jsonl"
            annotations = export(journal, folder / "corrected.json")
        options = ["DATASETS.REGISTER", [["noisy_labels", str(annotations), str(images)]]]
        options += ["SEED", seed, "DATASETS.TRAIN", "('noisy_labels',)"]
        options += ["DATASETS.TEST", f"('{STUDIES[study]['test']}',)"]
        options += [*STUDIES[study]["options"], *ARMS[arm], *args.opts]
        studies.train(folder, STUDIES[study]["config"], options, args.threads)
    result = {"arm": arm, "rate": rate, "seed": seed, **_evaluation(folder)}
    if (folder / "relabels.jsonl").exists():
        result.update(judge_journal(folder / "relabels.jsonl", noisy, seed))
    return result


def export(journal: Path, file: Path) -> Path:
    """Write the corrected annotation file of a journal, and return its path."""
    store = RelabelStore.load(journal)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(corrected_coco(store, store.datasets[0].name)))
    return file


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
    studies.report(args, name, summarise(runs, COLUMNS), runs, **STUDIES[args.study])


if __name__ == "__main__":
    main()
