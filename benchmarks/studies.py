"""What the effects studies share: runs of the training tools, their evaluations, tables over seeds.

A study trains several arms with several seeds. Each run is a training command of its own with a
folder of its own; a run whose evaluation is there is not repeated.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import traceback
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable

import torch

from benchmarks.report import RESULTS, ROOT, format_table, plain_parser, write_report
from drfpn_da.cli.main import call

Run = dict[str, Any]
TRAIN_NET = ("tools/train_net.py",)


def study_parser(
    doc: str | None,
    name: str,
    studies: Iterable[str],
    arms: Iterable[str],
    default_arms: Sequence[str] = (),
    seeds: Sequence[int] = (1, 2, 3),
) -> argparse.ArgumentParser:
    """Return the arguments of a study; read them with ``parse_study``."""
    parser = plain_parser(doc)
    arms = list(arms)
    parser.add_argument("study", choices=sorted(studies))
    parser.add_argument("--seeds", type=int, nargs="+", default=list(seeds))
    parser.add_argument("--arms", nargs="+", choices=arms, default=list(default_arms) or arms)
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time")
    parser.add_argument("--threads", type=int, default=1, help="threads a run")
    parser.add_argument("--work", type=Path, default=ROOT / "output" / f"effects_{name}")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("opts", nargs="*", help="further config options, KEY VALUE")
    return parser


def parse_study(
    parser: argparse.ArgumentParser, words: Sequence[str] | None = None
) -> argparse.Namespace:
    """Read the command line, options of the config before or after the flags."""
    args = parser.parse_intermixed_args(words)
    args.work = args.work.resolve()
    return args


def slug(arm: str) -> str:
    """Return an arm's name as a part of a folder's."""
    return "_".join("".join(c if c.isalnum() else " " for c in arm).split())


def train(
    folder: Path,
    config: str,
    options: Sequence[Any],
    threads: int,
    command: Sequence[str] = TRAIN_NET,
) -> None:
    """Run or resume one training; its output is in ``run.log``.

    Raises:
        subprocess.CalledProcessError: the training failed.
    """
    words = [sys.executable, *command, "--config-file", config, "--resume", "OUTPUT_DIR", folder]
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "run.log", "w") as log:
        subprocess.run(
            [str(word) for word in [*words, *options]],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": str(threads)},
            check=True,
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def train_forked(folder: Path, config: str, options: Sequence[Any], threads: int) -> None:
    """As :func:`train` with ``tools/train_net.py``, in a fork of this process.

    Spares the time of importing everything anew, which is much of a short run.

    Raises:
        RuntimeError: the training failed.
    """
    words = ["--config-file", config, "--resume", "OUTPUT_DIR", folder, *options]
    folder.mkdir(parents=True, exist_ok=True)

    def child() -> None:
        with open(folder / "run.log", "w") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        os.chdir(ROOT)
        torch.set_num_threads(threads)
        code = 1
        try:
            call(["train", *map(str, words)])
            code = 0
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        os._exit(code)  # not through the parent's exit handlers, which wait for its threads

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join()
    if process.exitcode:
        raise RuntimeError(f"a training failed: see {folder / 'run.log'}")


def read_lines(folder: Path) -> list[dict[str, float]]:
    """Return what a training logged, a dict for each time it did."""
    file = folder / "metrics.json"
    if not file.exists():
        return []
    return [json.loads(line) for line in file.read_text().splitlines()]


def last_evaluation(folder: Path, names: Mapping[str, str]) -> dict[str, float]:
    """Return the metrics of the last evaluation and the median time of a step.

    Args:
        folder: of the run.
        names: from the names that are returned to those that were logged.

    Returns:
        Empty if no line has all metrics.
    """
    lines = read_lines(folder)
    evaluated = [line for line in lines if all(name in line for name in names.values())]
    if not evaluated:
        return {}
    result = {short: evaluated[-1][name] for short, name in names.items()}
    result["s/iteration"] = statistics.median(line["time"] for line in lines if "time" in line)
    return result


def run_all(function: Callable[..., Any], jobs: Iterable[Sequence[Any]], at_once: int) -> list:
    """Call the function with each job's arguments, several at a time; keep the order."""
    with ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(lambda job: function(*job), jobs))


def run_arms(function: Callable[..., Any], args: argparse.Namespace) -> list:
    """Call the function with study, arm, seed and arguments, for all arms of each seed in turn."""
    jobs = [(args.study, arm, seed, args) for seed in args.seeds for arm in args.arms]
    return run_all(function, jobs, args.jobs)


def spread(values: Sequence[float]) -> str:
    """Return mean ± standard deviation."""
    deviation = statistics.stdev(values) if len(values) > 1 else float("nan")
    return f"{statistics.mean(values):.2f} ± {deviation:.2f}"


def differences(runs: Sequence[Run], arm: str, base: str, metric: str) -> list[float]:
    """Return an arm's metric minus that of the arm ``base``, for each seed that both have."""
    reference = {run["seed"]: run[metric] for run in runs if run["arm"] == base}
    mine = [run for run in runs if run["arm"] == arm]
    return [run[metric] - reference[run["seed"]] for run in mine if run["seed"] in reference]


def signed(values: Sequence[float]) -> str:
    """Return differences as text, with their signs."""
    return ", ".join(f"{value:+.2f}" for value in values)


def one_sided_p(values: Sequence[float]) -> float:
    """Return the p-value of a paired t-test that the mean difference is not above zero."""
    from scipy.stats import ttest_1samp

    return float(ttest_1samp(values, 0.0, alternative="greater").pvalue)


def table_over_seeds(
    runs: Sequence[Run], metrics: Sequence[str], base: str, paired: Sequence[str]
) -> list[dict[str, Any]]:
    """Return a row for each arm: its metrics over seeds, and differences to one arm by seed.

    Args:
        runs: each with "arm", "seed", the metrics and "s/iteration".
        metrics: to average.
        base: arm to compare with.
        paired: metrics to compare.
    """
    rows = []
    for arm in dict.fromkeys(run["arm"] for run in runs):
        mine = [run for run in runs if run["arm"] == arm]
        row: dict[str, Any] = {"arm": arm, "seeds": len(mine)}
        row.update({metric: spread([run[metric] for run in mine]) for metric in metrics})
        for metric in paired:
            by_seed = differences(runs, arm, base, metric)
            row[f"{metric} minus {base}, by seed"] = signed(by_seed)
            compared = arm != base and len(by_seed) > 1
            row[f"p ({metric})"] = f"{one_sided_p(by_seed):.3f}" if compared else ""
        row["s/iteration"] = statistics.median(run["s/iteration"] for run in mine)
        rows.append(row)
    return rows


def report(
    args: argparse.Namespace, name: str, rows: list, runs: Sequence[Run], **settings: Any
) -> None:
    """Print the table and write ``<name>_<study>.json``."""
    print(format_table(rows))
    settings = {"threads": args.threads, "opts": args.opts, **settings}
    path = args.results / f"{name}_{args.study}.json"
    write_report(path, {"settings": settings, "rows": rows, "runs": runs})
