"""Prediction of disparity and selection of pictures, on a tiny depth network."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.data import detection_utils
from detectron2.modeling import build_model
from PIL import Image

from drfpn_da import model_zoo
from drfpn_da.engine import pool_grid_features
from drfpn_da.labels import Selection, random_order
from tests.scripts import load_tool

CONFIG = "depth/streets/mobilenetv2_mini.yaml"
SMALL = ["MODEL.DEPTH.CHANNELS", "[4,6,8]"]
SMALL += ["INPUT.MIN_SIZE_TEST", "32", "INPUT.MAX_SIZE_TEST", "64"]
COUNT = 8


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    """A folder of eight pictures and weights of a tiny network."""
    folder = tmp_path_factory.mktemp("depth")
    rng = np.random.default_rng(0)
    for i in range(COUNT):
        picture = rng.integers(0, 30 + 25 * i, (32, 64, 3), dtype=np.uint8)
        (folder / "images" / f"part{i % 2}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(folder / "images" / f"part{i % 2}" / f"{i}.png")
    cfg = model_zoo.get_config(CONFIG)
    cfg.merge_from_list([*SMALL, "MODEL.DEVICE", "cpu"])
    torch.manual_seed(0)
    model = build_model(cfg).eval()
    DetectionCheckpointer(model, str(folder)).save("model")
    return folder, cfg, model


def run(name, setting, *options, weights="model.pth"):
    folder = setting[0]
    tool = load_tool(name)
    arguments = [*options, "--config-file", CONFIG, "--images", str(folder / "images")]
    return tool.main(
        [*arguments, *SMALL, "MODEL.WEIGHTS", str(folder / weights), "DATALOADER.NUM_WORKERS", "0"]
    )


@pytest.fixture(scope="module")
def predicted(setting):
    """The folder that tools/predict_depth.py wrote."""
    output = setting[0] / "disparity"
    run("predict_depth", setting, "--output", str(output), "--draw", "1")
    return output


def test_disparity_reads_back_within_a_step(setting, predicted):
    folder, _, model = setting
    index = json.loads((predicted / "disparity.json").read_text())
    assert len(index["files"]) == COUNT and len(list((predicted / "drawn").iterdir())) == 1
    picture = str(folder / "images" / "part1" / "3.png")
    assert index["files"][picture] == "part1/3.png"
    with Image.open(predicted / "part1" / "3.png") as file:
        stored = np.asarray(file).astype(np.float64) / index["scale"]
    image = detection_utils.read_image(picture, "RGB").transpose(2, 0, 1)
    with torch.no_grad():
        expected = model([{"image": torch.from_numpy(image.copy())}])[0]["disparity"]
    assert stored.shape == (32, 64)
    np.testing.assert_allclose(stored, expected.numpy(), atol=0.6 / index["scale"] + 1e-6)


def test_nothing_is_overwritten_unasked(setting, predicted):
    before = (predicted / "part0" / "0.png").stat().st_mtime_ns
    with pytest.raises(SystemExit, match=r"exists .*--overwrite"):
        run("predict_depth", setting, "--output", str(predicted))
    assert (predicted / "part0" / "0.png").stat().st_mtime_ns == before
    run("predict_depth", setting, "--output", str(predicted), "--overwrite")
    assert (predicted / "part0" / "0.png").stat().st_mtime_ns > before


def test_selection_by_diversity(setting, tmp_path):
    options = ["--budgets", "2", "5", "--output", str(tmp_path / "s.json"), "--seed", "43"]
    result = run("select_annotations", setting, *options, "--feature", "res4")
    selection = Selection.load(result["json"])
    assert selection.indices[0] == random_order(COUNT, 43)[0]
    assert len(set(selection.file_names)) == 5 and selection.pool == COUNT
    assert Path(result["picture"]).is_file()
    options[:3] = ["--budgets", "2"]
    shorter = run("select_annotations", setting, *options)["selection"]
    assert shorter.file_names == selection.budget(2)
    options[1:2] = ["6", "--start", result["json"]]
    longer = run("select_annotations", setting, *options)["selection"]
    assert longer.file_names[:5] == selection.file_names and len(set(longer.indices)) == 6


def test_selection_by_disagreement(setting, predicted, tmp_path):
    """A student that is the teacher everywhere but on one picture: that one is chosen."""
    student = tmp_path / "student"
    index = json.loads((predicted / "disparity.json").read_text())
    for number, name in enumerate(index["files"].values()):
        (student / name).parent.mkdir(parents=True, exist_ok=True)
        with Image.open(predicted / name) as file:
            stored = np.asarray(file)
        flipped = 65535 - stored if number == 5 else stored
        Image.fromarray(flipped).save(student / name)
    (student / "disparity.json").write_text(json.dumps(index))
    common = ["--teacher", str(predicted), "--student", str(student), "--budgets", "2", "3"]
    common += ["--output", str(tmp_path / "s.json")]
    for method, seed in (("uncertainty", 0), ("both", 0)):
        result = run("select_annotations", setting, "--method", method, *common,
            "--seed", str(seed), "--weight", "1000", "--feature", "decoder.after.8",
        )  # fmt: skip
        assert 5 in result["selection"].indices


def test_cycles_train_a_student_on_what_is_selected(setting, predicted, tmp_path):
    """Two cycles: the first list is what diversity gives, each student learns the list so far."""
    student = tmp_path / "student.yaml"
    base = model_zoo.get_config_file("depth/streets/student_mobilenetv2_mini.yaml")
    student.write_text(
        f"""_BASE_: "{base}"
MODEL:
  DEPTH:
    CHANNELS: [4, 6, 8]
INPUT:
  MIN_SIZE_TRAIN: (32,)
  MAX_SIZE_TRAIN: 64
  MIN_SIZE_TEST: 32
  MAX_SIZE_TEST: 64
DATALOADER:
  NUM_WORKERS: 0
SOLVER:
  MAX_ITER: 2
  STEPS: (1,)
"""
    )
    options = ["--teacher", str(predicted), "--budgets", "2", "4", "5", "--seed", "43"]
    options += ["--student-config", str(student), "--output", str(tmp_path / "s.json")]
    result = run("select_annotations", setting, "--method", "both", *options)
    names = result["selection"].file_names
    diverse = run("select_annotations", setting, "--budgets", "2", "--seed", "43",
        "--output", str(tmp_path / "d.json"),
    )  # fmt: skip
    assert names[:2] == diverse["selection"].file_names and len(set(names)) == 5
    for cycle, (size, iterations) in enumerate(((2, 2), (4, 4)), start=1):
        folder = tmp_path / "s_students" / f"cycle{cycle}"
        assert json.loads((folder / "selected.json").read_text()) == names[:size]
        weights = torch.load(folder / "model_final.pth", weights_only=True)
        assert weights["iteration"] == iterations - 1
    with pytest.raises(FileExistsError, match="s_students holds other students"):
        run("select_annotations", setting, "--method", "both", *options)
    options[options.index(str(student))] = CONFIG
    options[-1] = str(tmp_path / "t.json")
    with pytest.raises(ValueError, match="'SelfSupervisedDepth'; write DepthStudent"):
        run("select_annotations", setting, "--method", "both", *options)


def test_budget_larger_than_the_pool_is_refused(setting):
    with pytest.raises(SystemExit, match="9 pictures is larger than the pool of 8"):
        run("select_annotations", setting, "--budgets", "4", "9")
    with pytest.raises(SystemExit, match="needs --teacher, and --student or --student-config"):
        run("select_annotations", setting, "--method", "both", "--budgets", "4")


def test_grid_features_leave_padding_out(setting):
    _, _, model = setting
    wide = torch.randint(0, 256, (3, 32, 64), dtype=torch.uint8)
    odd = torch.randint(0, 256, (3, 33, 64), dtype=torch.uint8)
    maps = pool_grid_features(model, [[{"image": wide}], [{"image": odd}]], "res3", (2, 4))
    assert maps.shape == (2, 32, 2, 4)
    with torch.no_grad():
        full = model.backbone((wide[None] - model.pixel_mean) / model.pixel_std)["res3"]
    expected = torch.nn.functional.adaptive_avg_pool2d(full, (2, 4))
    torch.testing.assert_close(maps[:1], expected)
    with pytest.raises(KeyError, match=r"unknown feature 'res9'.*res2, res3"):
        pool_grid_features(model, [[{"image": wide}]], "res9")
