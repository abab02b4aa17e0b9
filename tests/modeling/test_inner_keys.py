"""Checkpoints of adapted models and plain ones: versions, and names that both use."""

from __future__ import annotations

import copy
import io

import pytest
import torch
from detectron2.modeling import build_model
from detectron2.solver.build import get_default_optimizer_params
from torch import nn

from drfpn_da.modeling.inner_keys import InnerKeys
from tests.tiny_detectors import adapted_config, tiny_config


class Renamed(nn.Module):
    """Reads states before version 2 by the old name of its weight, as modules that migrate do."""

    _version = 2

    def __init__(self) -> None:
        super().__init__()
        self.new = nn.Parameter(torch.zeros(3))

    def _load_from_state_dict(self, state, prefix, metadata, *others):
        if (metadata.get("version") or 1) < 2 and f"{prefix}old" in state:
            state[f"{prefix}new"] = state.pop(f"{prefix}old")
        elif (metadata.get("version") or 1) < 2:
            state.pop(f"{prefix}new", None)  # not what it means today
        super()._load_from_state_dict(state, prefix, metadata, *others)


class Detector(nn.Module):
    """With children that are called as those of the wrapper."""

    def __init__(self) -> None:
        super().__init__()
        self.head = Renamed()
        self.detector = nn.Linear(2, 2)
        self.teacher = nn.Linear(2, 3)
        self.objectives = nn.Linear(2, 1)


class Wrapper(nn.Module):
    def __init__(self, detector: nn.Module) -> None:
        super().__init__()
        self.detector = detector
        self.teacher = Teacher(detector)
        self.objectives = nn.ModuleDict({"one": nn.Linear(1, 1)})
        InnerKeys(self, "detector", own=["teacher", "objectives"])


class Teacher(nn.Module):
    def __init__(self, detector: nn.Module) -> None:
        super().__init__()
        self.detector = copy.deepcopy(detector)
        self.register_buffer("updates", torch.zeros(()))
        InnerKeys(self, "detector", own=["updates"], ending=".ema")


def filled(model: nn.Module, value: float) -> nn.Module:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(value)
    return model


def saved(model: nn.Module) -> dict[str, torch.Tensor]:
    """The state as a checkpoint gives it back."""
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def test_plain_and_wrapped_states_load_both_ways_with_their_versions():
    plain, wrapper = filled(Detector(), 2.0), filled(Wrapper(Detector()), 1.0)
    state = saved(plain)
    assert not wrapper.load_state_dict(state, strict=False).unexpected_keys
    assert all((value == 2).all() for value in wrapper.detector.state_dict().values())
    assert all((value == 1).all() for value in wrapper.teacher.detector.state_dict().values())
    again = filled(Detector(), 0.0)
    assert not again.load_state_dict(saved(wrapper), strict=False).missing_keys
    assert all((value == 2).all() for value in again.state_dict().values())
    assert saved(plain)._metadata.items() <= saved(wrapper)._metadata.items()


def test_a_wrapped_state_loads_into_a_wrapper_of_its_kind():
    wrapper, other = filled(Wrapper(Detector()), 1.0), filled(Wrapper(Detector()), 0.0)
    filled(wrapper.teacher, 3.0)
    other.load_state_dict(saved(wrapper))
    assert all((value == 1).all() for value in other.detector.state_dict().values())
    assert all((value == 3).all() for value in other.teacher.detector.state_dict().values())


def test_states_of_a_former_version_migrate():
    old = {
        key.replace("new", "old"): value for key, value in saved(filled(Detector(), 5.0)).items()
    }
    wrapper = Wrapper(Detector())
    wrapper.load_state_dict(old, strict=False)
    assert (wrapper.detector.head.new == 5).all()


@pytest.mark.parametrize("key", ["detector.weight", "head.new", "teacher.head.new.ema"])
def test_missing_keys_are_reported_as_checkpoints_name_them(key):
    wrapper = Wrapper(Detector())
    state = saved(wrapper)
    del state[key]
    assert wrapper.load_state_dict(state, strict=False).missing_keys == [key]


def test_parameters_buffers_and_modules_have_the_names_of_the_checkpoint():
    plain = build_model(tiny_config("retinanet"))
    adapted = build_model(adapted_config("retinanet", "MODEL.TEACHER.ENABLED", True))
    for named in ("named_parameters", "named_buffers", "named_modules"):
        expected = [name for name, _ in getattr(plain, named)()]
        found = [
            name
            for name, _ in getattr(adapted, named)()
            if not name.startswith(("objectives", "teacher"))
        ]
        if named == "named_modules":
            found.remove("")  # the adaptive model and its detector
        assert found == expected, named
        teachers = [n for n, _ in getattr(adapted.teacher.detector, named)() if n]
        assert {n for n, _ in getattr(adapted, named)()} >= {f"teacher.{n}" for n in teachers}
    assert len({id(p) for p in adapted.parameters()}) == len(list(adapted.parameters()))
    assert adapted.get_submodule("backbone.bottom_up") is adapted.detector.backbone.bottom_up
    # In a wrapper, too.
    wrapped = nn.ModuleDict({"module": adapted})
    names = {name for name, _ in wrapped.named_parameters()}
    assert {f"module.{name}" for name, _ in plain.named_parameters()} <= names


def test_decay_by_layer_counts_on_names():
    """As ViTDet's, whose factor depends on the beginning of a parameter's name."""
    plain = build_model(tiny_config("retinanet"))
    adapted = build_model(adapted_config("retinanet"))

    def rates(model):
        groups = get_default_optimizer_params(
            model,
            base_lr=1.0,
            lr_factor_func=lambda name: 0.1 if name.startswith("backbone.bottom_up") else 1.0,
        )
        names = {id(p): name for name, p in model.named_parameters()}
        return {names[id(p)]: group["lr"] for group in groups for p in group["params"]}

    expected, found = rates(plain), rates(adapted)
    assert {0.1, 1.0} == set(expected.values())
    assert {name: found[name] for name in expected} == expected
