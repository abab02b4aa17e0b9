"""Training steps and predictions on a pretended CUDA device: no error, launches, waits.

``budgets.json`` has for each case, of its second training step (without the optimiser), what was
measured, the same of the plain detector, and the most that is allowed: ``launches`` of kernels,
``syncs`` (the host waits for the device), ``own_syncs`` (those of them on a line of this package:
one for the log, and one for the number of pseudo-labels); and ``inference_launches`` of one batch.
The tool that counts is no part of this project: it is used where it lies beside the repository, or
where the environment variable PRETEND_CUDA says.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
TOOL = Path(os.environ.get("PRETEND_CUDA", REPOSITORY.parent / "shared" / "pretend_cuda"))
BUDGETS = json.loads(Path(__file__).with_name("budgets.json").read_text())
#: Between them they run every method.
QUICK = ("drfpn_faster", "slender_sup", "dm_multitask", "all_boxes")
OTHER = tuple(name for name in BUDGETS if name not in QUICK)

pytestmark = pytest.mark.skipif(
    not (TOOL / "check.py").is_file(),
    reason=f"needs the tool that pretends to be a CUDA device, in {TOOL} (or PRETEND_CUDA)",
)


def run_tool(*arguments):
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    environment["CUDA_VISIBLE_DEVICES"] = ""  # a real device would get in the way
    command = [sys.executable, str(TOOL / "check.py"), *arguments]
    return subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False
    )


def is_own(line):
    """Whether a line is of this package, not one of a library that this package called."""
    return " < " not in line and not line.startswith(("detectron2/", "fvcore/", "<", "?"))


def count(found):
    training, inference = found["training"], found["inference"]
    totals = training["totals"]
    return {
        "launches": totals["launches forward"] + totals["launches backward"],
        "syncs": totals["syncs"],
        "own_syncs": sum(number for *_, line, number in training["syncs"] if is_own(line)),
        "inference_launches": inference["totals"]["launches"],
    }


def check(names, path):
    output = run_tool(*names, "--no-plain", "--json", str(path))
    assert output.returncode == 0, f"a case failed:\n{output.stdout}\n{output.stderr[-2000:]}"
    measured = json.loads(path.read_text())
    too_many = []
    for name in names:
        assert measured[name]["training"]["errors"] == measured[name]["inference"]["errors"] == []
        for what, number in count(measured[name]).items():
            before, _, most = BUDGETS[name][what]
            if number > most:
                too_many.append(f"{name}: {number} {what}, measured {before}, allowed {most}")
    assert not too_many, "\n".join(too_many)


def test_every_method_within_its_budget(tmp_path):
    check(QUICK, tmp_path / "counts.json")


@pytest.mark.slow
def test_the_other_cases_within_their_budgets(tmp_path):
    check(OTHER, tmp_path / "counts.json")


@pytest.mark.slow
def test_losses_are_those_of_the_cpu():
    output = run_tool(*QUICK, "--compare")
    assert output.returncode == 0, output.stdout + output.stderr[-2000:]


def test_waits_of_the_package_are_few():
    """A budget is not raised by the way: two waits a step, of which one is the log's."""
    for name, budget in BUDGETS.items():
        labels_boxes = name.startswith(("pl_", "all_boxes"))
        assert budget["own_syncs"][2] <= 1 + labels_boxes, name
