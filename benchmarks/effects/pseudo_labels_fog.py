"""Self-training from clear to foggy streets: teacher, safeguards, and both with alignment.

    python -m benchmarks.effects.pseudo_labels_fog fog --seeds 1 2 3

Runs, burn-in and evaluation are those of `benchmarks.effects.strong_weak`, with twice the steps: a
teacher needs some before it finds more than what its student had seen. Every arm has the same
strong view of its labelled pictures and the same mean teacher, which is what is evaluated: the arms
differ by what they learn from target pictures only. Two numbers say how much of the gap between
source only and oracle an arm closes: of the mean over seeds, and by seed.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from benchmarks import studies

from . import strong_weak

_TEACHER = (
    *("INPUT.SOURCE_VIEW", "strong", "INPUT.TARGET_VIEWS", "['weak', 'strong']"),
    *("MODEL.TEACHER.ENABLED", True, "MODEL.TEACHER.DECAY", 0.99),
    *("MODEL.TEACHER.EVAL", "teacher"),
)
_SAFEGUARDS = (
    *("MODEL.PSEUDO_LABEL.SOFT", True, "MODEL.PSEUDO_LABEL.ADAPTIVE.ENABLED", True),
    *("MODEL.PSEUDO_LABEL.BOX_REGRESSION", "reliable"),
    *("MODEL.PSEUDO_LABEL.PRIOR.WEIGHT", 0.2, "MODEL.PSEUDO_LABEL.ENTROPY_WEIGHT", 0.02),
)
_RAMP = ("MODEL.PSEUDO_LABEL.RAMP_ITERS", 50)
_SELF = ("MODEL.ADAPT.OBJECTIVES", "['PseudoLabel']", *_RAMP)
_BOTH = ("MODEL.ADAPT.OBJECTIVES", "['StrongWeakAlignment', 'PseudoLabel']", *_RAMP)
ARMS: dict[str, Sequence[Any]] = {
    "source only": [*strong_weak.ARMS["source only"], *_TEACHER],
    "alignment": _TEACHER,
    "teacher, hard": [*_TEACHER, *_SELF],
    "teacher, hard, adaptive": [*_TEACHER, *_SELF, "MODEL.PSEUDO_LABEL.ADAPTIVE.ENABLED", True],
    "teacher, soft": [*_TEACHER, *_SELF, "MODEL.PSEUDO_LABEL.SOFT", True],
    "teacher, safeguards": [*_TEACHER, *_SELF, *_SAFEGUARDS],
    "alignment + teacher, hard": [*_TEACHER, *_BOTH],
    "alignment + teacher, safeguards": [*_TEACHER, *_BOTH, *_SAFEGUARDS],
    "oracle": [*strong_weak.ARMS["oracle"], *_TEACHER],
}
METRIC = "target AP50"
STEPS = ["SOLVER.MAX_ITER", 600, "SOLVER.STEPS", "(480,)", "SOLVER.WARMUP_ITERS", 20]


def gap_closed(runs: Sequence[studies.Run], arm: str) -> dict[str, str]:
    """Return which share of the gap from source only to the oracle an arm closes, in percent.

    Args:
        runs: each with "arm", "seed" and ``METRIC``; all seeds of source only and oracle.
        arm: to judge.
    """
    metric = {(run["arm"], run["seed"]): run[METRIC] for run in runs}
    seeds = sorted({run["seed"] for run in runs if run["arm"] == arm})
    gains = [metric[arm, seed] - metric["source only", seed] for seed in seeds]
    gaps = [metric["oracle", seed] - metric["source only", seed] for seed in seeds]
    by_seed = ", ".join(f"{100 * a / b:.0f}" if b else "-" for a, b in zip(gains, gaps))
    whole = statistics.mean(gaps)
    share = f"{100 * statistics.mean(gains) / whole:.0f}" if whole else "-"
    return {"gap closed, %": share, "by seed, %": by_seed}


def summarise(runs: Sequence[studies.Run]) -> list[dict[str, Any]]:
    """Return the table of the study: metrics over seeds, differences, and the gap closed."""
    rows = strong_weak.summarise(runs)
    if {"source only", "oracle"} <= {run["arm"] for run in runs}:
        for row in rows:
            row.update(gap_closed(runs, row["arm"]))
    return rows


def main() -> None:
    """Run the study; write ``benchmarks/results/pseudo_labels_<study>.json``."""
    parser = studies.study_parser(__doc__, "pseudo_labels", strong_weak.STUDIES, ARMS)
    args = studies.parse_study(parser)
    strong_weak.ARMS.update(ARMS)
    strong_weak.STUDIES[args.study]["adapt"] = STEPS
    jobs = [(args.study, seed, args) for seed in args.seeds]
    studies.run_all(strong_weak.burn_in, jobs, args.jobs)
    runs = studies.run_arms(strong_weak.run, args)
    settings = strong_weak.STUDIES[args.study]
    studies.report(args, "pseudo_labels", summarise(runs), runs, arms=ARMS, **settings)


if __name__ == "__main__":
    main()
