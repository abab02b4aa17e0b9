"""The run on a GPU: its order, what it keeps, its checks; as a whole on a pretended GPU."""

import argparse
import json
import os
import subprocess
import sys
import time
from functools import partial

import pytest
import torch

from benchmarks.gpu.__main__ import main, run_all
from benchmarks.gpu.cases import CHECKS, Case
from benchmarks.gpu.checks import DrawsOfTheCPU, Skip, largest_difference, verdict
from benchmarks.gpu.pairs import PUBLISHED, SMALL, published_configs, small_configs
from benchmarks.gpu.record import Record
from drfpn_da.config import check_config
from drfpn_da.engine import Trainer
from drfpn_da.functional.generators import step_generator

# On "cuda" with the tool beside the checkout, which must be opened before anything else.
PRETEND = """
import sys, warnings
warnings.filterwarnings("ignore")
sys.path.insert(0, sys.argv.pop(1))
from pretend_cuda import open_engine, pretend_cuda
open_engine()
from benchmarks.gpu.__main__ import main
with pretend_cuda():
    raise SystemExit(main(sys.argv[1:]))
"""


def read(path):
    found = json.loads(path.read_text())
    return found["tables"], {row["left out"]: row["why"] for row in found["left out"]}


@pytest.fixture
def clock(monkeypatch):
    """The run's clock, in seconds, which only the cases move."""
    clock = argparse.Namespace(now=0.0)
    clock.monotonic = lambda: clock.now
    monkeypatch.setattr("benchmarks.gpu.__main__.time", clock)
    return clock


def test_each_case_is_kept_and_the_rest_explained(tmp_path, clock):
    ran = []

    def case(name, table="Speed", gpu=False, error=None, seconds=0.0):
        def run():
            ran.append(name)
            clock.now += seconds
            if name == "endless":
                time.sleep(60)
            if error is not None:
                raise error
            return [{"case": name, "result": "passed"}]

        return Case(table, name, run, gpu)

    path = tmp_path / "gpu.json"
    cases = [
        case("large", gpu=True),
        case("without pytest", error=Skip("pytest is not installed")),
        case("out of memory", error=RuntimeError("CUDA out of memory")),
        case("first check", CHECKS, seconds=0.06),
        case("late check", CHECKS),
        case("quick"),
        case("endless", "Long", seconds=0.1),
        case("never", "Long"),
    ]
    assert run_all(cases, Record(path, {}), end=0.1, device="cpu")  # one failed
    assert ran == ["without pytest", "out of memory", "first check", "quick", "endless"]
    tables, left = read(path)
    assert [row["case"] for row in tables[CHECKS]] == ["first check"]
    assert [row["case"] for row in tables["Speed"]] == ["quick"]
    assert left == {
        "large": "needs a GPU",
        "without pytest": "pytest is not installed",
        "out of memory": "failed: RuntimeError: CUDA out of memory",
        "endless": "stopped when time was up",
        "never": "no time left",
        "late check": "no time left",
    }
    text = path.with_suffix(".md").read_text()
    assert "| quick" in text and "needs a GPU" in text
    with pytest.raises(FileExistsError, match="--output"):
        Record(path, {})


def test_checks_leave_time_for_the_rest(tmp_path, clock):
    ran = []

    def run(name):
        ran.append(name)
        clock.now += 30.0
        return []

    cases = [
        Case(table, name, partial(run, name), False)
        for table, name in [(CHECKS, "a"), (CHECKS, "b"), (CHECKS, "c"), ("Speed", "d")]
    ]
    assert not run_all(cases, Record(tmp_path / "x.json", {}), end=200.0, device="cpu")
    assert ran == ["a", "b", "c", "d"]
    ran.clear()
    clock.now = 0.0
    # Half of it is over when c would begin; it follows if as much time is left as b took.
    run_all(cases, Record(tmp_path / "y.json", {}), end=119.0, device="cpu")
    assert ran == ["a", "b", "d"]
    ran.clear()
    clock.now = 0.0
    run_all([*cases[:1], *cases], Record(tmp_path / "z.json", {}), end=170.0, device="cpu")
    assert ran == ["a", "a", "b", "d", "c"]


def test_losses_that_are_missing_or_no_numbers_are_infinitely_apart():
    assert largest_difference({"a": 1.1, "b": 2.0}, {"a": 1.0, "b": 2.0}) == (
        pytest.approx(0.1),
        "a",
    )
    assert largest_difference({"a": 1.0}, {"a": 1.0, "b": 2.0}) == (float("inf"), "b")
    assert largest_difference({"a": 1.0, "b": float("nan")}, {"a": 1.0, "b": 2.0})[1] == "b"
    assert verdict("x", "float32", {"a": 1.01}, {"a": 1.0})["result"] == "FAILED"
    assert verdict("x", "float32", {"a": 1.0001}, {"a": 1.0})["result"] == "passed"
    # In half precision the sum counts, and whether gradients are numbers.
    half = {"a": 1.0, "b": 0.02}, {"a": 1.0, "b": 0.01}
    assert verdict("x", "float16", *half)["result"] == "passed"
    assert verdict("x", "float16", *half, finite=False)["result"] == "FAILED"
    assert verdict("x", "float16", {"a": float("nan")}, {"a": 1.0})["result"] == "FAILED"


def test_draws_are_those_of_the_cpu():
    torch.manual_seed(3)
    expected = torch.randperm(9), torch.rand(4), torch.rand(2, generator=step_generator(1, "x"))
    torch.manual_seed(3)
    with DrawsOfTheCPU():
        meta = torch.randperm(9, device="meta")  # drawn, though not kept
        assert meta.device.type == "meta"
        rest = torch.rand(4, device="cpu"), torch.rand(2, generator=step_generator(1, "x"))
    for value, other in zip(rest, expected[1:]):
        torch.testing.assert_close(value, other, rtol=0, atol=0)


@pytest.mark.parametrize("name", [*SMALL, *PUBLISHED])
def test_methods_and_the_plain_models_beside_them(name, tmp_path):
    args = argparse.Namespace(size=(64, 96), device="cpu")
    for configs, known in ((small_configs, SMALL), (published_configs, PUBLISHED)):
        if name in known:
            method, plain = configs(name, args, str(tmp_path))
            check_config(method)
            check_config(plain)
            assert method.SOLVER.IMS_PER_BATCH == plain.SOLVER.IMS_PER_BATCH
            assert method.MODEL != plain.MODEL


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_networks_read_generated_streets(name, tmp_path):
    args = argparse.Namespace(size=(64, 128), device="cpu")
    for cfg in published_configs(name, args, str(tmp_path)):
        batch = next(iter(Trainer.build_train_loader(cfg)))
        assert sum(one.get("domain") != "target" for one in batch) == 2
        assert {tuple(one["image"].shape) for one in batch} == {(3, 64, 128)}


def test_without_a_gpu_it_says_how_to_try(capsys):
    if torch.cuda.is_available():
        pytest.skip("needs a machine without CUDA")
    with pytest.raises(SystemExit):
        main([])
    assert "there is no CUDA device; for a smoke run write --device cpu" in capsys.readouterr().err


def test_whole_run_on_a_pretended_gpu(repository, tmp_path):
    tool = repository.parent / "shared" / "pretend_cuda"
    if not (tool / "pretend_cuda.py").is_file():
        pytest.skip(f"needs the pretended CUDA device, {tool}")
    path = tmp_path / "gpu.json"
    command = [sys.executable, "-c", PRETEND, str(tool), "--minutes", "3", "--rounds", "1"]
    command += ["--small", "32", "64", "--large", "64", "96", "--output", str(path)]
    command += ["--only", "check neck", "small networks: strong-weak", "32 x 64, float32"]
    done = subprocess.run(
        command,
        cwd=repository,
        env={**os.environ, "PYTHONPATH": str(repository), "PYTORCH_JIT": "0"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    tables, left = read(path)
    assert not left
    assert [row["result"] for row in tables[CHECKS]] == ["passed"]
    assert [row["system"] for row in tables["Small networks"]] == [
        "Strong-Weak",
        "plain, beside Strong-Weak",
    ]
    assert {row["neck"] for row in tables["Necks, 2 pictures of 32 x 64"]} >= {"FPN", "DRFPN"}
