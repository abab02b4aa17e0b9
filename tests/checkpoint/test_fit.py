"""Checkpoints that do not fit the model are refused; prefixes and formats of others are read."""

from __future__ import annotations

import logging
import os
from collections import OrderedDict

import pytest
import torch
from detectron2.modeling import build_model
from safetensors.torch import save_file
from torch import nn

from drfpn_da.checkpoint import (
    CheckpointError,
    PredictionCheckpointer,
    SafeCheckpointer,
    load_model,
)
from tests.tiny_coco import tiny_cfg


class Detector(nn.Module):
    """Names and shapes of a detector in small."""

    training_parts = ("pose",)

    def __init__(self, classes=2):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
        self.roi_heads = nn.ModuleDict(
            {"box_head": nn.Linear(4, 4), "box_predictor": nn.Linear(4, classes + 1)}
        )
        self.pose = nn.Linear(2, 2)


def state_of(seed, classes=2):
    torch.manual_seed(seed)
    return Detector(classes).state_dict()


def prefixed(prefix, state):
    return OrderedDict((prefix + key, value) for key, value in state.items())


def save(folder, state, name="w.pth"):
    torch.save({"model": state}, folder / name)
    return str(folder / name)


def is_loaded(model, state):
    found = model.state_dict()
    return all(torch.equal(found[key], value) for key, value in state.items())


PREFIXES = ["module.", "model.", "ema.", "modelTeacher.", "student.", "modelStudent.", "teacher."]


@pytest.mark.parametrize("prefix", [*PREFIXES, "module.modelTeacher.", "ema.module."])
def test_prefixes_are_taken_off(tmp_path, prefix, caplog):
    state, model = state_of(1), Detector()
    with caplog.at_level(logging.INFO, logger="drfpn_da"):
        PredictionCheckpointer(model).load(save(tmp_path, prefixed(prefix, state)))
    assert is_loaded(model, state)
    assert f"prefix '{prefix}' is taken off" in caplog.text


def test_the_teacher_is_taken_before_its_student(tmp_path, caplog):
    student, teacher = state_of(1), state_of(2)
    both = {**prefixed("modelStudent.", student), **prefixed("modelTeacher.", teacher)}
    model = Detector()
    SafeCheckpointer(model).load(save(tmp_path, both))
    assert is_loaded(model, teacher)
    assert "several networks" in caplog.text and "taken is 'modelTeacher.'" in caplog.text


def test_what_fits_best_is_taken(tmp_path, caplog):
    """A student of the right classes before a teacher of others; plain names before all."""
    student, teacher = state_of(1, 2), state_of(2, 7)
    both = {**prefixed("modelTeacher.", teacher), **prefixed("modelStudent.", student)}
    model = Detector(2)
    PredictionCheckpointer(model).load(save(tmp_path, both))
    assert is_loaded(model, student)
    plain = state_of(3)
    SafeCheckpointer(model).load(save(tmp_path, {**plain, **both}))
    assert is_loaded(model, plain)
    caplog.clear()
    few = {"teacher.pose.bias": plain["pose.bias"]}  # one tensor is no second network
    SafeCheckpointer(model).load(save(tmp_path, {**plain, **few}))
    assert is_loaded(model, plain) and "several networks" not in caplog.text


def test_versions_of_modules_follow_the_prefix(tmp_path):
    """A batch norm of version 2 without its counter is incomplete; without a version it is old."""
    state = state_of(1)
    wrapped = prefixed("ema.", state)
    wrapped._metadata = {"": {"version": 1}} | {
        f"ema.{path}".rstrip("."): version for path, version in state._metadata.items()
    }
    seen = {}

    class Noting(nn.BatchNorm2d):
        def _load_from_state_dict(self, state_dict, prefix, local_metadata, *rest):
            seen[prefix] = local_metadata.get("version")
            super()._load_from_state_dict(state_dict, prefix, local_metadata, *rest)

    model = Detector()
    model.backbone[1] = Noting(4)
    SafeCheckpointer(model).load(save(tmp_path, wrapped))
    assert seen == {"backbone.1.": 2}


@pytest.mark.parametrize("kind", [SafeCheckpointer, PredictionCheckpointer])
def test_a_checkpoint_of_which_nothing_fits(tmp_path, kind):
    path = save(tmp_path, prefixed("net.", state_of(1)))
    wanted = r"no tensor of checkpoint .*w\.pth fits.*begin with 'net\.'.*with 'backbone\.'"
    with pytest.raises(CheckpointError, match=wanted):
        kind(Detector()).load(path)
    path = save(tmp_path, prefixed("modelTeacher.net.", state_of(1)))
    with pytest.raises(CheckpointError, match=r"also without 'modelTeacher\.'"):
        kind(Detector()).load(path)
    with pytest.raises(CheckpointError, match="it holds no weights"):
        kind(Detector()).load(save(tmp_path, {}))
    # Ends of names are compared where that is asked for.
    with pytest.raises(CheckpointError, match=r"no tensor .* begin with 'stem\.'"):
        path = save(tmp_path, {"stem.kernel": torch.ones(3)})
        kind(Detector()).load(f"{path}?matching_heuristics=True")


def test_a_head_of_other_classes(tmp_path):
    """Training may start from it; predictions and resumed runs may not."""
    state = state_of(1, classes=7)
    path = save(tmp_path, state)
    model = Detector(2)
    SafeCheckpointer(model, str(tmp_path / "run")).resume_or_load(path, resume=True)
    assert torch.equal(model.backbone[0].weight, state["backbone.0.weight"])
    wanted = r"w\.pth does not fit the config: roi_heads\.box_predictor\.weight is \(8, 4\) there "
    with pytest.raises(CheckpointError, match=wanted + r"and \(3, 4\) here.*number of classes"):
        PredictionCheckpointer(Detector(2)).load(path)
    PredictionCheckpointer(Detector(2), part="backbone.").load(path)
    SafeCheckpointer(Detector(7), str(tmp_path)).save("model_0000001", iteration=1)
    resumed = SafeCheckpointer(Detector(2), str(tmp_path))
    with pytest.raises(CheckpointError, match=r"model_0000001\.pth.*\(8, 4\).*another OUTPUT_DIR"):
        resumed.resume_or_load("", resume=True)
    resumed.resume_or_load(path, resume=False)


def test_a_checkpoint_without_a_head(tmp_path, caplog):
    state = state_of(1)
    body = {key: value for key, value in state.items() if key.startswith("backbone")}
    SafeCheckpointer(Detector()).load(save(tmp_path, body))
    PredictionCheckpointer(Detector(), part="backbone.").load(save(tmp_path, body))
    with pytest.raises(CheckpointError, match=r"roi_heads\.box_head, roi_heads\.box_predictor"):
        PredictionCheckpointer(Detector()).load(save(tmp_path, body))
    with pytest.raises(
        CheckpointError, match=r"lacks 2 parameters, .* of roi_heads\.box_predictor, which"
    ):
        cut = {key: value for key, value in state.items() if "box_predictor" not in key}
        PredictionCheckpointer(Detector()).load(save(tmp_path, cut))
    with pytest.raises(CheckpointError, match=r"lacks 1 parameters, such as .*box_predictor\.bias"):
        cut = {key: value for key, value in state.items() if key != "roi_heads.box_predictor.bias"}
        PredictionCheckpointer(Detector()).load(save(tmp_path, cut))
    without_pose = {key: value for key, value in state.items() if "pose" not in key}
    PredictionCheckpointer(Detector()).load(save(tmp_path, without_pose))
    PredictionCheckpointer(Detector()).load("")
    assert "predictions are those of a random model" in caplog.text


@pytest.mark.parametrize("architecture", ["GeneralizedRCNN", "AdaptiveModel"])
def test_a_detector_with_a_head_of_other_classes(tmp_path, architecture):
    """Of an adapted model, whose detector's names stand for its own, too."""
    cfg = tiny_cfg(tmp_path, "not_read")
    cfg.MODEL.META_ARCHITECTURE = architecture
    trained = build_model(cfg)
    path = save(tmp_path, trained.state_dict())
    assert is_loaded(load_model(cfg, path), trained.state_dict())
    SafeCheckpointer(trained, str(tmp_path)).save("model_0000001", iteration=1)
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = 5
    model = build_model(cfg)
    SafeCheckpointer(model).load(path)
    body = {k: v for k, v in trained.state_dict().items() if k.startswith("backbone.")}
    assert is_loaded(model, body)
    with pytest.raises(CheckpointError, match=r"cls_score\.weight is \(3, \d+\) there and \(6, "):
        load_model(cfg, path)
    with pytest.raises(CheckpointError, match=r"model_0000001\.pth .*\(3, \d+\) there.*OUTPUT_DIR"):
        SafeCheckpointer(build_model(cfg), str(tmp_path)).resume_or_load("", resume=True)


@pytest.mark.parametrize("prefix", ["module.", "model.module."])
def test_prefixes_are_taken_off_where_ends_of_names_are_compared(tmp_path, prefix):
    """As of a backbone that was trained by itself, on several devices."""
    state, model = state_of(1), Detector()
    body = {k[len("backbone.") :]: v for k, v in state.items() if k.startswith("backbone.")}
    path = save(tmp_path, prefixed(prefix, body))
    SafeCheckpointer(model).load(f"{path}?matching_heuristics=True")
    assert is_loaded(model, {f"backbone.{key}": value for key, value in body.items()})


def test_safetensors(tmp_path):
    state, model, path = state_of(1), Detector(), tmp_path / "w.safetensors"
    save_file(dict(prefixed("model.", state)), path)
    PredictionCheckpointer(model).load(str(path))
    assert is_loaded(model, state)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(CheckpointError, match=r"w\.safetensors .* is damaged or cut short"):
        SafeCheckpointer(Detector()).load(str(path))
    body = {"0.weight": state["backbone.0.weight"]}
    save_file(body, path)
    SafeCheckpointer(model).load(f"{path}?matching_heuristics=True")
    with pytest.raises(CheckpointError, match=r"w\.safetensors fits the model"):
        SafeCheckpointer(model).load(str(path))


def test_weights_in_a_container(tmp_path):
    state, model = state_of(1), Detector()
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "s.pth")
    PredictionCheckpointer(model).load(str(tmp_path / "s.pth"))
    assert is_loaded(model, state)
    torch.save({"teacher": dict(state)}, tmp_path / "t.pth")
    with pytest.raises(CheckpointError, match=r"t\.pth has 'teacher' \(a dict\).*torch\.save"):
        SafeCheckpointer(model).load(str(tmp_path / "t.pth"))
    torch.save({**state, "epoch": 3}, tmp_path / "t.pth")
    with pytest.raises(CheckpointError, match=r"t\.pth has 'epoch' \(a int\) where"):
        SafeCheckpointer(model).load(str(tmp_path / "t.pth"))


@pytest.mark.parametrize("content", [[1, 2], torch.zeros(3)])
def test_a_file_without_names(tmp_path, content):
    torch.save(content, tmp_path / "t.pth")
    with pytest.raises(CheckpointError, match=r"t\.pth holds a (list|Tensor) in place of weights"):
        SafeCheckpointer(Detector()).load(str(tmp_path / "t.pth"))


class Harmful:
    """Makes a folder when it is read."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def test_pycls_files_run_no_code(tmp_path):
    state, model = state_of(1), Detector()
    torch.save({"model_state": state}, tmp_path / "w.pyth")
    SafeCheckpointer(model).load(str(tmp_path / "w.pyth"))
    assert torch.equal(model.backbone[0].weight, state["backbone.0.weight"])
    torch.save({"model_state": state, "x": Harmful(tmp_path / "run")}, tmp_path / "w.pyth")
    with pytest.raises(CheckpointError, match=r"w\.pyth holds objects other than tensors"):
        SafeCheckpointer(model).load(str(tmp_path / "w.pyth"))
    assert not (tmp_path / "run").exists()


def test_a_random_model_says_so(caplog):
    PredictionCheckpointer(Detector()).load("")
    assert "those of a random model" in caplog.text
