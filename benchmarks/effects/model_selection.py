"""Do scores without labels order adapted detectors as their true quality does?

    python -m benchmarks.effects.model_selection fog --runs output/effects_strong_weak/fog

Evaluates the final checkpoints of a study's runs on its target with TEST.LABEL_FREE, and reports
the rank correlation of every score with AP50, over all runs and among the arms of each seed: those
are the candidates among which a user without target labels would choose.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from detectron2.evaluation.testing import flatten_results_dict

from benchmarks.effects.strong_weak import STUDIES
from benchmarks.report import RESULTS, format_table, plain_parser, write_report
from drfpn_da.checkpoint import PredictionCheckpointer
from drfpn_da.config import argument_parser, setup_cfg
from drfpn_da.engine import Trainer, start_run
from drfpn_da.evaluation import rank_correlations


def evaluate(run: Path, dataset: str) -> dict[str, Any]:
    """Return all metrics of a run's final checkpoint on the target, evaluated once."""
    file = run / f"label_free_{dataset}.json"
    if not file.exists():
        words = ["--config-file", str(run / "config.yaml"), "--eval-only"]
        words += ["OUTPUT_DIR", str(run), "DATASETS.TEST", f"('{dataset}',)"]
        words += ["MODEL.WEIGHTS", str(run / "model_final.pth"), "TEST.LABEL_FREE.ENABLED", "True"]
        args = argument_parser().parse_args(words)
        cfg = start_run(setup_cfg(args), args)
        model = Trainer.build_model(cfg)
        PredictionCheckpointer(model).load(cfg.MODEL.WEIGHTS)
        file.write_text(json.dumps(flatten_results_dict(Trainer.test(cfg, model))))
    return json.loads(file.read_text())


def main() -> None:
    """Evaluate the runs; write ``benchmarks/results/model_selection_<study>.json``."""
    parser = plain_parser(__doc__)
    parser.add_argument("study", choices=sorted(STUDIES))
    parser.add_argument("--runs", type=Path, required=True, help="folder of the study's runs")
    args = parser.parse_args()
    runs = sorted(path.parent for path in args.runs.resolve().glob("*/model_final.pth"))
    found = {run.name: evaluate(run, STUDIES[args.study]["target"]) for run in runs}
    seeds: dict[str, list[dict[str, Any]]] = {}
    for name, metrics in found.items():
        candidates = seeds.setdefault(name.rpartition("_seed")[2], [])
        candidates.append({"iteration": len(candidates), **metrics})
    rows = [
        {
            "score": score,
            "rank correlation with AP50": quality.correlation,
            "within each seed": ", ".join(f"{value:.2f}" for value in quality.per_run),
            "AP50 lost by its choice": quality.regret,
            "runs": quality.evaluations,
        }
        for score, quality in rank_correlations(list(seeds.values()), truth="bbox/AP50").items()
    ]
    print(format_table(rows))
    path = RESULTS / f"model_selection_{args.study}.json"
    write_report(path, {"rows": rows, "runs": found})


if __name__ == "__main__":
    main()
