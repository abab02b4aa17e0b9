"""The comparison of two states of the code measures the state that it names."""

import os
import statistics
import subprocess
import sys

import pytest

from benchmarks.speed.before_after import MEASURED, compared, workspace


def test_the_package_is_that_of_the_checkout(tmp_path):
    package = tmp_path / "checkout" / "drfpn_da"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("STATE = 'before'\n")
    place = workspace(tmp_path / "checkout", tmp_path / "place")
    code = "import benchmarks.speed, drfpn_da; print(drfpn_da.STATE, benchmarks.speed.__name__)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=place, env={**os.environ, "PYTHONPATH": str(place)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.split() == ["before", "benchmarks.speed"], done.stderr
    with pytest.raises(FileNotFoundError, match="has no drfpn_da: name a checkout"):
        workspace(tmp_path, tmp_path / "other")


def test_ratios_are_of_medians():
    before, after = [4.0, 8.0, 5.0], [2.0, 2.5, 9.0]
    found = {
        "before": dict.fromkeys(MEASURED, before),
        "after": dict.fromkeys(MEASURED, after),
    }
    row = compared("DepthMix", found)
    assert row["system"] == "DepthMix" and row["step, ms"] == statistics.median(after) == 2.5
    assert row["step, ratio"] == row["load, ratio"] == 0.5
