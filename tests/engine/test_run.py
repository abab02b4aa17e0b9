"""Starting a run: seed, output folder, resumed configs."""

import argparse
import logging

import pytest
from detectron2.config import CfgNode

from drfpn_da.engine import Trainer, start_run
from drfpn_da.engine.run import config_differences
from tests.tiny_coco import register_tiny, tiny_cfg, write_tiny_coco

RESUME = argparse.Namespace(resume=True, eval_only=False, config_file="")
TRAIN = argparse.Namespace(resume=False, eval_only=False, config_file="")
EVALUATE = argparse.Namespace(resume=False, eval_only=True, config_file="")


@pytest.fixture
def cfg(tmp_path):
    write_tiny_coco(tmp_path / "data", count=2)
    register_tiny("tiny_run", tmp_path / "data")
    return tiny_cfg(tmp_path / "out", "tiny_run")


def saved(folder):
    with open(folder / "config.yaml") as file:
        return CfgNode.load_cfg(file)


def test_seed_is_drawn_saved_and_reused(cfg, tmp_path):
    cfg.SEED = -1
    run = start_run(cfg, TRAIN)
    assert run.SEED >= 0
    assert run.is_frozen()
    assert cfg.SEED == -1
    assert saved(tmp_path / "out").SEED == run.SEED
    assert start_run(cfg, RESUME).SEED == run.SEED


@pytest.mark.parametrize("begin", [Trainer, lambda cfg: start_run(cfg, TRAIN)])
def test_a_seed_too_large_for_numpy_is_named(cfg, begin):
    cfg.SEED = 2**32
    with pytest.raises(ValueError, match=r"^SEED is 4294967296; write at most 4294967295"):
        begin(cfg)


@pytest.mark.parametrize("name", ["last_checkpoint", "metrics.json", "model_1.pth"])
def test_folder_of_another_run_is_refused(cfg, tmp_path, name):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text("precious")
    with pytest.raises(FileExistsError, match="holds another run: add --resume"):
        start_run(cfg, TRAIN)
    assert [p.name for p in (tmp_path / "out").iterdir()] == [name]
    assert (tmp_path / "out" / name).read_text() == "precious"


def test_a_start_that_failed_can_be_tried_again_and_keeps_its_config(cfg, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "config.yaml").write_text("SEED: 5")
    start_run(cfg, TRAIN)
    assert (tmp_path / "out" / "config.failed_start_1.yaml").read_text() == "SEED: 5"
    assert saved(tmp_path / "out").SEED == cfg.SEED


def test_folder_with_other_files_is_used(cfg, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    start_run(cfg, TRAIN)
    assert (tmp_path / "out" / "notes.txt").read_text() == "mine"


def test_resume_with_another_config_warns_and_keeps_the_old(cfg, tmp_path, caplog, monkeypatch):
    start_run(cfg, TRAIN)
    before = (tmp_path / "out" / "config.yaml").read_text()
    cfg.SOLVER.BASE_LR = 0.5
    logger = logging.getLogger("drfpn_da")
    monkeypatch.setattr(logger, "propagate", True)
    start_run(cfg, RESUME)
    assert "SOLVER.BASE_LR: 0.005 -> 0.5" in caplog.text
    assert (tmp_path / "out" / "config.before_resume_1.yaml").read_text() == before
    assert saved(tmp_path / "out").SOLVER.BASE_LR == 0.5


def test_resume_with_other_classes_is_refused_before_anything_is_written(cfg, tmp_path):
    start_run(cfg, TRAIN)
    out = tmp_path / "out"
    trained = saved(out)
    trained.MODEL.ROI_HEADS.NUM_CLASSES = 3
    (out / "config.yaml").write_text(trained.dump())
    (out / "last_checkpoint").write_text("model_0000004.pth")
    files = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    wanted = r"model_0000004\.pth was trained on 3 classes .*now there are 2: resume with 3, or .*"
    with pytest.raises(ValueError, match=wanted + r"another OUTPUT_DIR.*MODEL\.WEIGHTS"):
        start_run(cfg, RESUME)
    assert files == {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}


def test_resume_with_the_same_config_is_silent(cfg, tmp_path, caplog):
    start_run(cfg, TRAIN)
    start_run(cfg, RESUME)
    assert not list((tmp_path / "out").glob("config.before*"))
    assert "differs" not in caplog.text


def test_resume_names_a_saved_config_that_is_none(cfg, tmp_path):
    start_run(cfg, TRAIN)
    (tmp_path / "out" / "config.yaml").write_text("SEED: 5\nMODEL: !!python/name:os.system\n")
    with pytest.raises(ValueError, match=r"out/config\.yaml, line 2: .*os\.system"):
        start_run(cfg, RESUME)


def test_evaluation_leaves_the_run_alone(cfg, tmp_path):
    start_run(cfg, TRAIN)
    before = (tmp_path / "out" / "config.yaml").read_bytes()
    cfg.SOLVER.BASE_LR = 0.25
    # Without the training set: evaluation does not need it.
    cfg.DATASETS.TRAIN = ("not_there",)
    run = start_run(cfg, EVALUATE)
    assert run.OUTPUT_DIR == str(tmp_path / "out" / "eval")
    assert (tmp_path / "out" / "config.yaml").read_bytes() == before
    assert saved(tmp_path / "out" / "eval").SOLVER.BASE_LR == 0.25


def test_disagreement_with_the_data_is_found_before_anything_is_written(cfg, tmp_path):
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = 7
    with pytest.raises(ValueError, match=r"write MODEL\.ROI_HEADS\.NUM_CLASSES 2"):
        start_run(cfg, TRAIN)
    assert not (tmp_path / "out").exists()


def test_differences_see_no_change_in_the_kind_of_sequence(cfg):
    other = cfg.clone()
    other.SOLVER.STEPS = list(cfg.SOLVER.STEPS)
    other.TEST.EXPECTED_RESULTS = [("bbox", "AP", 38.5, 0.2)]
    assert config_differences(cfg, other) == [
        ("TEST.EXPECTED_RESULTS", [], [["bbox", "AP", 38.5, 0.2]])
    ]
