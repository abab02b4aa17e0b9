"""Checkpoints of adapted models and plain ones: versions, and names that both use."""

from __future__ import annotations

import copy
import io

import pytest
import torch
from torch import nn

from drfpn_da.modeling.inner_keys import InnerKeys


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
