"""The tool that draws domains and measures their distance, on tiny models and two kinds of sets."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.modeling import build_model
from PIL import Image

from drfpn_da.data import register_image_folder
from drfpn_da.engine import pool_features
from drfpn_da.visualization import DomainPanel, draw_domains
from tests.scripts import load_tool
from tests.tiny_coco import register_tiny, tiny_cfg, write_tiny_coco

SOURCE, BRIGHT, SEM_SEG = "domains_source", "domains_bright", "domains_sem_seg"


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    """A labelled source, a folder of the same pictures made bright, a config and its weights."""
    folder = tmp_path_factory.mktemp("domains")
    write_tiny_coco(folder, count=8)
    register_tiny(SOURCE, folder)
    register_tiny(SEM_SEG, folder, sem_seg=True)
    (folder / "bright").mkdir()
    for path in (folder / "images").iterdir():
        picture = np.asarray(Image.open(path))
        Image.fromarray(picture // 3 + 160).save(folder / "bright" / path.name)
    register_image_folder(BRIGHT, str(folder / "bright"))
    cfg = tiny_cfg(folder / "output", SOURCE)
    cfg.DATASETS.TARGET = (BRIGHT,)
    (folder / "model.yaml").write_text(cfg.dump())
    DetectionCheckpointer(build_model(cfg), str(folder)).save("weights")
    yield folder
    for name in (SOURCE, BRIGHT, SEM_SEG):
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


@pytest.fixture
def run(setting):
    main = load_tool("analyze_domains").main
    return lambda *arguments: main(
        ["--config-file", str(setting / "model.yaml"), *map(str, arguments)]
    )


def test_before_and_after_with_numbers(run, setting, tmp_path):
    weights = setting / "weights.pth"
    arguments = ["--weights", weights, weights, "--taps", "res2", "p3", "--splits", 4]
    arguments += ["--methods", "pca", "--output", tmp_path / "domains.png"]
    result = run(*arguments)
    assert result["pictures"] == {"source": 8, "target": 8}
    assert [m["title"] for m in result["models"]] == ["before", "after"]
    before, after = (m["a_distance"] for m in result["models"])
    assert before == after and set(before) == {"res2", "p3"}
    # Brightness is plain to see for any network.
    assert before["res2"]["mean"] > 1.5 and len(before["res2"]["values"]) == 4
    written = json.loads((tmp_path / "domains.json").read_text())
    assert written["models"][0]["a_distance"] == before
    picture = np.asarray(Image.open(tmp_path / "domains.png"))
    assert picture.shape[0] > 500 and len(np.unique(picture.reshape(-1, 3), axis=0)) > 20
    again = run(*arguments)
    assert Path(again["picture"]).name == "domains-2.png"
    assert Path(again["json"]).name == "domains-2.json"


def test_equal_domains_are_not_apart(run, tmp_path):
    result = run("--target", SOURCE, "--methods", "pca", "--output", tmp_path / "same.png")
    distances = result["models"][0]["a_distance"]
    assert set(distances) == {"res2", "res4"}, "the default features of MODEL.STRONG_WEAK"
    assert all(value["mean"] < 0.5 for value in distances.values())


def test_segmentors_and_adapted_models(run, tmp_path):
    result = run(
        *("--source", SEM_SEG, "--number", 5, "--splits", 2, "--methods", "pca"),
        *("--taps", "backbone.bottom_up.res3.0", "--output", tmp_path / "sem_seg.png"),
        *("MODEL.META_ARCHITECTURE", "AdaptiveModel", "MODEL.ADAPT.DETECTOR", "SemanticSegmentor"),
    )
    assert result["pictures"] == {"source": 5, "target": 5}
    assert "backbone.bottom_up.res3.0" in result["models"][0]["a_distance"]


def test_heads_may_be_of_other_classes_but_not_the_source(run, setting, tmp_path):
    """Features are the backbone's, whatever the heads are."""
    words = ("MODEL.ROI_HEADS.NUM_CLASSES", 6, "DATASETS.TARGET", "('streets_mini_foggy_train',)")
    few = ("--number", 4, "--methods", "pca", "--splits", 2, "--taps", "p3")
    with pytest.raises(ValueError, match=f"NUM_CLASSES is 6, but dataset '{SOURCE}' has 2"):
        run(*few, "--output", tmp_path / "no.png", *words)
    result = run(
        *(*few, "--source", "streets_mini_clear_train", "--output", tmp_path / "yes.png"),
        *("MODEL.WEIGHTS", setting / "weights.pth", *words),
    )
    assert result["models"][0]["a_distance"]["p3"]["values"]


def test_what_is_missing_is_named(run, tmp_path):
    with pytest.raises(SystemExit, match=r"No target pictures: give --target, .*DATASETS\.TARGET"):
        run("--methods", "pca", "--number", 4, "DATASETS.TARGET", "()")
    with pytest.raises(KeyError, match=r"unknown feature 'res9'; this detector has .*res4"):
        run("--taps", "res9", "--output", tmp_path / "no.png")
    with pytest.raises(KeyError, match="'domains_brigt' is not registered; did you mean"):
        run("--target", "domains_brigt")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(importlib.util.find_spec("sklearn") is not None, reason="has scikit-learn")
def test_missing_scikit_learn_is_explained(run):
    with pytest.raises(SystemExit, match=r"--methods tsne needs scikit-learn: pip install"):
        run("--methods", "tsne")


def test_t_sne(run, tmp_path):
    pytest.importorskip("sklearn")
    run("--methods", "pca", "tsne", "--taps", "p2", "--output", tmp_path / "tsne.png")
    assert (tmp_path / "tsne.png").is_file()


def test_pooled_features_are_means_over_the_picture_without_padding(setting):
    cfg = tiny_cfg(setting / "output", SOURCE)
    cfg.MODEL.RESNETS.NORM = "BN"  # GN would see the padding
    torch.manual_seed(0)
    model = build_model(cfg).train()
    small = {"image": torch.randint(0, 255, (3, 64, 64))}
    large = {"image": torch.randint(0, 255, (3, 64, 128))}
    pooled = pool_features(model, [[small, large], [small]], ["res2", "res5"])
    assert model.training
    assert {name: tuple(x.shape) for name, x in pooled.items()} == {
        "res2": (3, 32),
        "res5": (3, 128),
    }
    model.eval()
    with torch.no_grad():
        expected = model.backbone.bottom_up(model.preprocess_image([small]).tensor)
    torch.testing.assert_close(pooled["res2"][2], expected["res2"].mean(dim=(2, 3))[0])
    # Padding is left out; what differs is only what it lets into cells beside it.
    alone, padded = pooled["res2"][2], pooled["res2"][0]
    assert float((alone - padded).norm() / alone.norm()) < 0.2


def test_points_lie_where_they_are_drawn():
    """Source above, target below, in their own colours."""
    source, target = np.array([[0.0, 1.0]] * 3), np.array([[1.0, -1.0]] * 3)
    picture = draw_domains([DomainPanel("plane", source, target)], columns=1).astype(int)
    body = picture[: int(picture.shape[0] * 0.91)]
    blue = np.argwhere(body[..., 2] - body[..., 0] > 80).mean(axis=0)
    orange = np.argwhere(body[..., 0] - body[..., 2] > 80).mean(axis=0)
    assert blue[0] < orange[0] and blue[1] < orange[1]
    with pytest.raises(ValueError, match="at least one panel"):
        draw_domains([])
