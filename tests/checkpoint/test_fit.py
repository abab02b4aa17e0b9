"""Checkpoints of other codes and of other heads: read where they fit, else refused by name."""

from __future__ import annotations

import logging

import pytest
import torch
from detectron2.modeling import build_model
from safetensors.torch import save_file

from drfpn_da.checkpoint import CheckpointError, SafeCheckpointer, load_model
from drfpn_da.checkpoint.fit import strip_prefix
from tests.tiny_coco import tiny_cfg


@pytest.fixture
def cfg(tmp_path):
    return tiny_cfg(tmp_path, "not_read")


def weights_of(cfg, seed):
    torch.manual_seed(seed)
    return build_model(cfg).state_dict()


def saved(path, state):
    torch.save({"model": state}, path)
    return str(path)


def prefixed(prefix, state):
    return {prefix + name: value for name, value in state.items()}


@pytest.mark.parametrize(
    "prefix",
    [
        *("module.", "model.", "student.", "modelTeacher.", "modelStudent.", "ema."),
        "module.modelTeacher.",
    ],
)
def test_prefixes_of_other_codes_are_taken_off(cfg, tmp_path, prefix, caplog):
    state = weights_of(cfg, 1)
    file = saved(tmp_path / "other.pth", prefixed(prefix, state))
    with caplog.at_level(logging.INFO):
        model = load_model(cfg, file)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    # fvcore takes this one off itself where all names have it.
    assert prefix == "module." or f"begin with '{prefix}'" in caplog.text


def test_of_teacher_and_student_the_teacher_is_taken(cfg, tmp_path):
    student, teacher = weights_of(cfg, 1), weights_of(cfg, 2)
    both = {**prefixed("modelStudent.", student), **prefixed("modelTeacher.", teacher)}
    model = load_model(cfg, saved(tmp_path / "both.pth", both))
    assert all(torch.equal(value, teacher[name]) for name, value in model.state_dict().items())


def test_names_that_fit_as_they_are_win():
    wanted = {"a": 0, "model.b": 0}
    assert strip_prefix({"a": 1, "model.b": 2, "model.x": 3}, wanted)[0] == ""
    assert strip_prefix({"ema.a": 1, "model.a": 2, "model.model.b": 3}, wanted) == (
        "model.",
        {"a": 2, "model.b": 3},
    )


def test_safetensors_and_nested_states_are_read(cfg, tmp_path):
    state = weights_of(cfg, 1)
    save_file(
        {name: value.contiguous() for name, value in state.items()}, tmp_path / "w.safetensors"
    )
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "nested.pth")
    for name in ("w.safetensors", "nested.pth"):
        model = load_model(cfg, str(tmp_path / name))
        assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "w.safetensors").read_bytes()[:1000])
    with pytest.raises(CheckpointError, match=r"cut\.safetensors .* damaged or cut short"):
        load_model(cfg, str(tmp_path / "cut.safetensors"))


def test_a_file_of_which_nothing_fits_is_refused_for_training_too(cfg, tmp_path):
    file = saved(tmp_path / "strange.pth", prefixed("net.", weights_of(cfg, 1)))
    with pytest.raises(CheckpointError, match=r"strange\.pth.*such as 'net\.\w.*modelTeacher\."):
        SafeCheckpointer(build_model(cfg)).load(file)


def test_a_head_of_other_classes_may_be_trained_on_but_not_predict(cfg, tmp_path):
    file = saved(tmp_path / "two.pth", weights_of(cfg, 1))
    cfg.MODEL.ROI_HEADS.NUM_CLASSES += 1
    checkpointer = SafeCheckpointer(build_model(cfg))
    checkpointer.load(file)
    with pytest.raises(
        CheckpointError, match=r"two\.pth would be random: .*cls_score.* \[3, \d+\]"
    ):
        checkpointer.require_all()
    with pytest.raises(CheckpointError, match="would be random"):
        load_model(cfg, file)


def test_a_backbone_alone_may_be_trained_on_but_not_predict(cfg, tmp_path):
    state = {k: v for k, v in weights_of(cfg, 1).items() if k.startswith("backbone.bottom_up.")}
    file = saved(tmp_path / "body.pth", state)
    SafeCheckpointer(build_model(cfg)).load(file)
    with pytest.raises(
        CheckpointError, match=r"body\.pth would be random: \d+ of .* not in the file"
    ):
        load_model(cfg, file)


def test_a_random_model_says_so(cfg, caplog):
    load_model(cfg, "")
    assert "predictions are those of a random model" in caplog.text


def test_a_run_of_another_head_is_not_resumed(cfg, tmp_path):
    SafeCheckpointer(build_model(cfg), str(tmp_path)).save("model_0000001")
    cfg.MODEL.ROI_HEADS.NUM_CLASSES += 1
    model = build_model(cfg)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"cannot resume .*\[3, \d+\] .* \[4, \d+\] now"):
        SafeCheckpointer(model, str(tmp_path)).resume_or_load("", resume=True)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
