"""The command line tools, run in this process on a tiny model and tiny pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.modeling import build_model
from PIL import Image

from drfpn_da.checkpoint import CheckpointError
from drfpn_da.cli.export import compare
from drfpn_da.config import argument_parser
from tests.scripts import load_tool
from tests.tiny_coco import register_tiny, tiny_cfg, write_tiny_coco

DATASET = "tools_tiny"


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    """A folder with pictures, a config of a DRFPN detector and two checkpoints of it."""
    folder = tmp_path_factory.mktemp("tools")
    write_tiny_coco(folder, count=3)
    register_tiny(DATASET, folder)
    cfg = tiny_cfg(folder / "output", DATASET)
    cfg.MODEL.BACKBONE.NAME = "build_resnet_drfpn_backbone"
    # So that the refinement blocks do something in a model that was not trained.
    cfg.MODEL.DRFPN.INIT = "c2_xavier"
    cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST = 0.0
    cfg.TEST.DETECTIONS_PER_IMAGE = 8
    cfg.SOLVER.IMS_PER_BATCH = 2
    (folder / "model.yaml").write_text(cfg.dump())
    for seed in (0, 1):
        torch.manual_seed(seed)
        model = build_model(cfg)
        with torch.no_grad():  # biases too, or all scores would be the same
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.02)
        DetectionCheckpointer(model, str(folder)).save(f"model_{seed}")
    return folder


def _demo(setting, *arguments):
    np.random.seed(0)  # noqa: NPY002  (the shades of drawn instances)
    config = ["--config-file", str(setting / "model.yaml"), "--confidence-threshold", "0"]
    return load_tool("demo").main([*config, *map(str, arguments)])


def test_demo_draws_a_folder_and_overwrites_nothing(setting, tmp_path):
    arguments = ["--input", setting / "images", "--output", tmp_path]
    weights = ["MODEL.WEIGHTS", setting / "model_0.pth"]
    first = _demo(setting, *arguments, *weights)
    before = [path.read_bytes() for path in first]
    second = _demo(setting, *arguments, *weights)
    assert [p.name for p in first] == [f"picture_{i}.png" for i in range(3)]
    assert [p.name for p in second] == [f"picture_{i}-2.png" for i in range(3)]
    assert before == [path.read_bytes() for path in first]
    image = np.asarray(Image.open(setting / "images" / "picture_0.png").resize((480, 320)))
    drawn = np.asarray(Image.open(first[0]))
    assert drawn.shape == image.shape and (drawn != image).any()


def test_demo_compares_two_checkpoints(setting, tmp_path):
    config, picture = setting / "model.yaml", setting / "images" / "picture_0.png"
    weights = [setting / "model_0.pth", setting / "model_1.pth"]
    (one,) = _demo(setting, "--input", picture, "--output", tmp_path / "one.png",
                   "MODEL.WEIGHTS", weights[0])  # fmt: skip
    (both,) = _demo(setting, "--compare", weights[0], f"{config}:{weights[1]}",
                    "--input", picture, "--output", tmp_path / "both.png")  # fmt: skip
    one, both = np.asarray(Image.open(one)), np.asarray(Image.open(both))
    height, width = one.shape[:2]
    left, right = both[-height - 6 : -6, 6 : 6 + width], both[-height - 6 : -6, -width - 6 : -6]
    assert np.array_equal(left, one), "the first model's picture stands on the left"
    assert (left != right).any()


def test_demo_names_classes_by_the_training_set_or_not_at_all(setting, tmp_path):
    picture = setting / "images" / "picture_0.png"
    for number, train in enumerate((f"('{DATASET}',)", "()")):
        drawn = _demo(
            setting, "--input", picture, "--output", tmp_path / f"{number}.png",
            "MODEL.WEIGHTS", setting / "model_0.pth",
            "DATASETS.TEST", "()", "DATASETS.TRAIN", train,
        )  # fmt: skip
        assert drawn[0].is_file()


def test_demo_goes_on_after_a_damaged_picture_and_names_it(setting, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    whole = (setting / "images" / "picture_0.png").read_bytes()
    (folder / "a.png").write_bytes(whole[: len(whole) // 2])
    (folder / "b.png").write_bytes(whole)
    with pytest.raises(SystemExit, match=r"1 of 2 not drawn:\n.*a\.png"):
        _demo(setting, "--input", folder, "--output", tmp_path,
              "MODEL.WEIGHTS", setting / "model_0.pth")  # fmt: skip
    assert (tmp_path / "b.png").is_file() and not (tmp_path / "a.png").exists()


@pytest.fixture
def film(tmp_path):
    cv2 = pytest.importorskip("cv2")
    name = str(tmp_path / "film.avi")
    writer = cv2.VideoWriter(name, cv2.VideoWriter_fourcc(*"MJPG"), 5, (96, 64))
    if not writer.isOpened():
        pytest.skip("this OpenCV writes no videos")
    for value in (0, 120):
        writer.write(np.full((64, 96, 3), value, np.uint8))
    writer.release()
    return name


@pytest.mark.parametrize("output", ["out", "out.mkv", "out.webm"])
def test_demo_draws_a_video(setting, tmp_path, film, output):
    cv2 = pytest.importorskip("cv2")
    (written,) = _demo(setting, "--input", film, "--output", tmp_path / output)
    capture = cv2.VideoCapture(str(written))
    frames = [capture.read()[1] for _ in range(2)]
    assert written.name == ("film.mp4" if output == "out" else output)
    assert frames[0].shape == (320, 480, 3)
    assert not capture.read()[0]


def test_demo_refuses_a_format_that_is_no_video(setting, tmp_path, film):
    with pytest.raises(SystemExit, match=r"out\.png: a video is written as \.mp4"):
        _demo(setting, "--input", film, "--output", tmp_path / "out.png")
    assert not (tmp_path / "out.png").exists()


def test_demo_names_what_it_cannot_find(setting, tmp_path):
    with pytest.raises(SystemExit, match=r"nowhere\.png: no such file"):
        _demo(setting, "--input", tmp_path / "nowhere.png")
    with pytest.raises(SystemExit, match="give --input or --webcam"):
        _demo(setting)


@pytest.mark.parametrize("source", ["annotation", "dataloader"])
def test_visualize_data(setting, tmp_path, source):
    written = load_tool("visualize_data").main(
        ["--source", source, "--config-file", str(setting / "model.yaml"), "--number", "2",
         "--output", str(tmp_path)]
    )  # fmt: skip
    assert len(written) == 2
    for path in written:
        drawn = np.asarray(Image.open(path))
        assert min(drawn.shape[:2]) >= 320
        # The ground is at most 60; objects and what is drawn on them are brighter.
        assert 0.05 < (drawn.max(axis=2) > 80).mean() < 0.6


def test_visualize_target_views(setting, tmp_path):
    written = load_tool("visualize_data").main(
        ["--source", "target", "--config-file", str(setting / "model.yaml"), "--number", "2",
         "--dataset", "streets_mini_foggy_train", "--output", str(tmp_path),
         "INPUT.TARGET_VIEWS", "['weak', 'strong']"]
    )  # fmt: skip
    assert len(written) == 2
    # Two pictures of twice their height beside each other.
    assert all(np.asarray(Image.open(path)).shape[1] > 2 * 600 for path in written)
    with pytest.raises(SystemExit, match=r"DATASETS\.TARGET"):
        load_tool("visualize_data").main(
            ["--source", "target", "--config-file", str(setting / "model.yaml")]
        )


def test_analysis_counts_every_parameter_once_and_known_convolutions(setting, capsys):
    rows = load_tool("analyze_model").main(
        ["--config-file", str(setting / "model.yaml"), "--input-size", "64", "96"]
    )
    table = {part: (parameters, gmacs) for part, parameters, gmacs in rows}
    model = torch.load(setting / "model_0.pth", weights_only=False)["model"]
    learnt = {k: v for k, v in model.items() if "pixel" not in k and "cell_anchors" not in k}
    assert table["model"][0] == sum(v.numel() for v in learnt.values())
    for kind in ("fpn_output", "srb", "crb", "ppm", "downsample"):
        expected = sum(v.numel() for k, v in learnt.items() if k.startswith(f"backbone.{kind}"))
        assert table[f"neck {kind}"][0] == expected > 0
    # 3x3 convolutions of 32 channels on the four levels of a 64x96 picture.
    cells = sum((64 // s) * (96 // s) for s in (4, 8, 16, 32))
    assert table["neck fpn_output"][1] == pytest.approx(cells * 32 * 32 * 9 / 1e9)
    body = [row for row in rows if row[0] not in ("neck, all", "model")]
    assert sum(row[2] for row in body) == pytest.approx(table["model"][1])
    assert "neck, all" in capsys.readouterr().out


def test_analysis_of_a_lazy_config(tmp_path, capsys):
    config = tmp_path / "lazy.py"
    config.write_text(
        "from detectron2.config import LazyCall as L\n"
        "from detectron2.modeling.backbone import BasicStem\n"
        "model = L(BasicStem)(in_channels=3, out_channels=8)\n"
    )
    rows = load_tool("analyze_model").main(["--config-file", str(config), "--tasks", "parameter"])
    assert rows[-1] == ["model", 3 * 8 * 49 + 2 * 8]  # a 7x7 convolution and its norm


@pytest.mark.parametrize("part", ["backbone", "detector"])
@pytest.mark.parametrize("form", ["torchscript", "onnx"])
def test_export_equals_the_original(setting, tmp_path, part, form):
    if form == "onnx":
        pytest.importorskip("onnxruntime")
    rows = load_tool("export_model").main(
        ["--config-file", str(setting / "model.yaml"), "--part", part, "--format", form,
         "--size", "64", "96", "--output", str(tmp_path),
         "MODEL.WEIGHTS", str(setting / "model_0.pth")]
    )  # fmt: skip
    assert len(rows) == (5 if part == "backbone" else 4)
    assert all(verdict == "equal" for *_, verdict in rows)
    (written,) = tmp_path.iterdir()
    assert written.suffix == {"torchscript": ".ts", "onnx": ".onnx"}[form]


@pytest.mark.parametrize("tool", ["demo", "export_model", "analyze_model", "train_net"])
def test_no_tool_predicts_with_a_random_head(setting, tmp_path, tool):
    words = ["--config-file", str(setting / "model.yaml")]
    words += {
        "demo": ["--input", str(setting / "images"), "--output", str(tmp_path)],
        "export_model": ["--part", "detector", "--size", "64", "96", "--output", str(tmp_path)],
        "analyze_model": ["--load-weights"],
        "train_net": ["--eval-only"],
    }[tool]
    # The data set, of two classes, is left out: the checkpoint alone does not fit.
    words += ["MODEL.WEIGHTS", str(setting / "model_0.pth"), "MODEL.ROI_HEADS.NUM_CLASSES", "3"]
    words += ["DATASETS.TRAIN", "()", "OUTPUT_DIR", str(tmp_path)]
    words += ["DATASETS.TEST", "('tools_elsewhere',)" if tool == "demo" else "()"]
    main = load_tool(tool).main
    with pytest.raises(CheckpointError, match=r"model_0\.pth does not fit .*cls_score"):
        main(argument_parser().parse_args(words) if tool == "train_net" else words)


def test_demo_refuses_names_of_other_classes(setting, tmp_path):
    with pytest.raises(ValueError, match=f"NUM_CLASSES is 3, but dataset '{DATASET}' has 2"):
        _demo(setting, "--input", setting / "images", "--output", tmp_path,
              "MODEL.ROI_HEADS.NUM_CLASSES", "3")  # fmt: skip


def test_export_says_that_nothing_was_compared(setting, tmp_path, capsys):
    words = ["--config-file", str(setting / "model.yaml"), "--part", "detector", "--size", "64"]
    words += ["96", "--output", str(tmp_path), "MODEL.WEIGHTS", str(setting / "model_0.pth")]
    rows = load_tool("export_model").main([*words, "MODEL.ROI_HEADS.SCORE_THRESH_TEST", "1.0"])
    assert [row[-1] for row in rows] == ["NOT COMPARED (empty)"] * 3 + ["equal"]
    assert "Nothing was compared of output0, output1, output2" in capsys.readouterr().out


def test_export_notices_a_difference():
    rows = compare(lambda x: [x, x, x], lambda x: [x, x + 1e-3, x[:1]], torch.ones(3), list("abc"))
    assert [row[-1] for row in rows] == ["equal", "FAILED", "FAILED"]


def test_export_does_not_call_nothing_equal():
    full, empty = torch.ones(2, 4), torch.zeros(0, 4)
    rows = compare(lambda x: [full, empty], lambda x: [full, empty], full, ["boxes", "masks"])
    assert [row[-1] for row in rows] == ["equal", "NOT COMPARED (empty)"]
