"""The table of all systems for another state of the code and for this one.

    git worktree add ../before COMMIT
    python -m benchmarks.speed.before_after ../before
    python -m benchmarks.speed.before_after ../before --systems "DepthMix" --rounds 5

Both are measured by this checkout's ``benchmarks/speed/systems.py``, in turns, each in a new
process; the medians over turns and their ratio are written.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

from benchmarks.report import ROOT, format_table
from benchmarks.speed.options import parse_speed, report_speed, speed_parser
from benchmarks.speed.systems import SYSTEMS

#: What a row of systems.py measures.
MEASURED = ("load, ms", "step, ms", "inference, ms")
GENERATOR = "generator, ms"
# Of one turn.
ROUNDS = 3


def workspace(checkout: Path, folder: Path) -> Path:
    """Make a folder with the package of a checkout and these benchmarks.

    Raises:
        FileNotFoundError: the checkout has no package ``drfpn_da``.
    """
    package = checkout.resolve() / "drfpn_da"
    if not package.is_dir():
        raise FileNotFoundError(f"{checkout} has no drfpn_da: name a checkout of this project")
    folder.mkdir()
    (folder / "drfpn_da").symlink_to(package)
    (folder / "benchmarks").symlink_to(ROOT / "benchmarks")
    return folder


def turn(place: Path, system: str, words: list[str]) -> dict[str, Any]:
    """Measure one system in a new process that works in ``place``; return what it reports."""
    output = place / "result.json"
    command = [sys.executable, "-m", "benchmarks.speed.systems", "--systems", system, *words]
    environment = {**os.environ, "PYTHONPATH": str(place)}
    done = subprocess.run(
        [*command, "--output", str(output)],
        cwd=place, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"'{system}' failed in {(place / 'drfpn_da').resolve()}:\n{done.stderr}")
    return json.loads(output.read_text())


def compared(system: str, found: dict[str, dict[str, list[float]]]) -> dict[str, Any]:
    """A row of the table: the medians of this code, and their ratios to those before."""
    row: dict[str, Any] = {"system": system}
    for name in MEASURED:
        before, after = (statistics.median(found[state][name]) for state in ("before", "after"))
        row |= {name: after, f"{name.split(',')[0]}, ratio": after / before}
    return row


def main() -> None:
    """Measure and write ``benchmarks/results/before_after_<device>.json``."""
    parser = speed_parser(__doc__, size=(128, 256), threads=1, rounds=3)
    parser.add_argument("before", type=Path, help="checkout of the state to compare with")
    parser.add_argument("--systems", nargs="+", default=list(SYSTEMS), choices=SYSTEMS)
    args = parse_speed(parser)
    words = ["--rounds", str(ROUNDS), "--threads", str(args.threads), "--device", args.device]
    words += ["--size", *map(str, args.size)]
    rows = []
    generator: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        checkouts = {"before": args.before, "after": ROOT}
        places = {k: workspace(path, Path(folder, k)) for k, path in checkouts.items()}
        for system in args.systems:
            found: dict[str, dict[str, list[float]]] = {k: defaultdict(list) for k in places}
            for _ in range(args.rounds):
                for state, place in places.items():
                    result = turn(place, system, words)
                    for name in MEASURED:
                        found[state][name].append(result["rows"][0][name])
                    generator[state].append(result[GENERATOR])
            rows.append(compared(system, found))
            print(format_table(rows[-1:]), flush=True)
    print(format_table(rows))
    commit = ["git", "-C", str(args.before), "rev-parse", "--short", "HEAD"]
    args.before = subprocess.run(commit, capture_output=True, text=True, check=True).stdout.strip()
    medians = {k: statistics.median(values) for k, values in generator.items()}
    report_speed("before_after", args, rows=rows, **{GENERATOR: medians})


if __name__ == "__main__":
    main()
