"""The demonstration: sentences and verdicts, trainings, and the whole of it in few steps."""

from __future__ import annotations

import importlib
import json

import numpy as np
import pytest
from PIL import Image

from drfpn_da.config import argument_parser, setup_cfg
from drfpn_da.visualization import Page
from tests.scripts import load_tool


@pytest.fixture
def part():
    """Import a module of the demonstration."""
    return lambda name: importlib.import_module(f"drfpn_da.cli.demo_page.{name}")


def write_run(folder, *records):
    folder.mkdir()
    lines = [json.dumps({"iteration": i * 10 + 9, **r}) for i, r in enumerate(records)]
    (folder / "metrics.json").write_text("\n".join(lines))
    return folder


@pytest.mark.slow
def test_demonstration_writes_page_and_picture(part, tmp_path, capsys):
    tool = load_tool("make_demo")
    words = ["--length", "0.02", "--train-size", "mini", "--test-size", "mini"]
    folder = tool.main([*words, "--output", str(tmp_path / "demo")])
    page = (folder / "index.html").read_text()
    assert page.count("<h2>") == 5 and page.count("data:image/jpeg;base64") >= 4 * 3 + 2 * 8
    assert 'href="audit/report.html"' in page and (folder / "audit" / "report.html").is_file()
    assert np.asarray(Image.open(folder / "overview.png")).shape[1] > 1000
    for name in ("adapted", "source_only"):
        last = json.loads((folder / name / "metrics.json").read_text().splitlines()[-1])
        assert "streets_mini_foggy_val/bbox_slender/AP-XS" in last
    assert str(folder / "index.html") in capsys.readouterr().out
    assert tool.main(["--redraw", str(folder)]) == folder
    assert (folder / "index-2.html").is_file()


def test_trainings_are_valid_configs_of_one_length(part, tmp_path):
    trainings = part("plan").plan(tmp_path, length=2.0, sizes=("mini", "mini"), pretrained=False)
    cfgs = {}
    for training in trainings:
        args = argument_parser().parse_args(["--config-file", training.config, *training.options])
        cfgs[training.name] = setup_cfg(args)
    one, other = cfgs["adapted"], cfgs["source_only"]
    assert one.SOLVER == other.SOLVER and one.SOLVER.MAX_ITER >= 400
    assert one.MODEL.ADAPT.OBJECTIVES == ["StrongWeakAlignment", "PseudoLabel"]
    assert other.MODEL.ADAPT.BASELINE == "source_only" and other.MODEL.TEACHER.EVAL == "teacher"
    assert one.MODEL.WEIGHTS == other.MODEL.WEIGHTS == str(tmp_path / "clear" / "model_final.pth")
    assert all(cfg.MODEL.MOBILENETV2.NORM == "BN" for cfg in cfgs.values())
    assert not cfgs["relabelled"].SCN_RELABEL.DRY_RUN
    truth = json.loads((tmp_path / "noise" / "noisy.truth.json").read_text())
    assert 0.1 < truth["changed"] / truth["annotations"] < 0.3


def test_corrections_are_judged_by_the_truth(part):
    noise = part("noise")
    flips = [{"id": 1, "true": 1}, {"id": 2, "true": 1}, {"id": 3, "true": 2}]
    truth = {"annotations": 10, "flips": flips}
    names = {1: "car", 2: "pole"}
    found = noise.judge({1: "car", 2: "pole", 7: "car"}, truth, names)
    assert (found.changed, found.restored, found.harmed, found.left) == (3, 1, 1, 3)
    assert found.precision == pytest.approx(100 / 3) and found.recall == pytest.approx(100 / 3)
    assert "did not help" in noise.summary(found)
    better = noise.judge({1: "car", 2: "car"}, truth, names)
    assert "100 % of the changes are right" in noise.summary(better) and better.left == 1
    assert "no label was changed" in noise.summary(noise.judge({}, truth, names))


def test_verdict_follows_from_the_figures(part):
    verdict = part("adaptation").verdict
    assert "helped" in verdict("fog", 20.0, 25.0)
    assert "did harm" in verdict("fog", 25.0, 20.0)
    assert "neither gain nor loss" in verdict("fog", 20.0, 21.0)
    assert "nothing was measured" in verdict("fog", float("nan"), 20.0)


def test_sentences_of_mixes_and_thin_things(part, tmp_path):
    run, mixing, slender = part("runs").Run, part("mixing"), part("slender")
    rising = run(write_run(tmp_path / "a", {"sem_seg/mIoU": 30.0}, {"sem_seg/mIoU": 40.0}))
    assert "rose: 30.0 after 10 steps" in mixing.summary(rising, 8, 10)
    falling = run(write_run(tmp_path / "b", {"sem_seg/mIoU": 40.0}, {"sem_seg/mIoU": 30.0}))
    assert "did not rise" in mixing.summary(falling, 8, 10)
    scores = {"fog/bbox_slender/mAR-XS": 20.0, "fog/bbox_slender/mAR-R": 40.0}
    thin = run(write_run(tmp_path / "c", scores))
    assert "less well" in slender.summary(thin, "fog")
    assert "too few" in slender.summary(rising, "fog")
    headers, rows = slender.slender_table(thin, "clear", "fog")
    assert len(rows) == 3 and {len(row) for row in rows} == {len(headers)}


def test_run_reads_the_last_value(part, tmp_path):
    runs = part("runs")
    folder = write_run(tmp_path / "a", {"bbox/AP": 1.0}, {"bbox/AP": 2.0}, {})
    run = runs.Run(folder)
    assert run.final("bbox/AP") == 2.0 and np.isnan(run.final("bbox/AP50"))
    assert runs.progress("x", folder) == "x: starting"
    assert runs.progress("x", tmp_path / "none") == "x: waiting"


def test_failed_training_is_told_with_its_reason(part, tmp_path):
    training = part("plan").Training("broken", "no/such/config.yaml")
    with pytest.raises(RuntimeError, match="'broken' failed"):
        part("runs").train_all([training], tmp_path, workers=1)


def test_page_has_links_and_galleries(tmp_path):
    picture = np.zeros((4, 8, 3), np.uint8)
    page = Page("t").link("a < b", "x/y.html").gallery([picture, picture], ["one", "two"], 2, 100)
    text = page.save(tmp_path / "page.html").read_text()
    assert '<a href="x/y.html">a &lt; b</a>' in text
    assert text.count("<figure>") == 2 and "max(100px, (100% - 1 * 0.8rem) / 2)" in text
