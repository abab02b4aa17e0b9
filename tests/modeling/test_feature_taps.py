"""Feature taps: which names exist, what is recorded, masks of padding, frozen features."""

import pytest
import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling import Backbone, build_model
from torch import nn

from drfpn_da.functional import masked_mean, valid_cells
from drfpn_da.modeling import FeatureTaps
from tests.tiny_detectors import make_inputs, tiny_config


@pytest.fixture(scope="module")
def drfpn():
    return build_model(tiny_config("faster_rcnn")).eval()


@pytest.fixture(scope="module")
def c4():
    return build_model(tiny_config("faster_rcnn_c4")).eval()


def test_names_are_those_of_the_pyramid_and_of_its_body(drfpn):
    shapes = FeatureTaps(drfpn).shapes
    assert set(shapes) == {"p2", "p3", "p4", "p5", "p6", "res2", "res3", "res4", "res5"}
    assert shapes["res2"] == ShapeSpec(channels=24, stride=4)
    assert shapes["p4"] == ShapeSpec(channels=64, stride=16)


def test_stages_that_are_no_outputs_can_be_tapped(c4):
    taps = FeatureTaps(c4)
    assert list(c4.backbone.output_shape()) == ["res4"]
    assert taps.shapes["res2"] == ShapeSpec(channels=64, stride=4)
    taps.require(["res2", "res4"])
    x = torch.rand(1, 3, 64, 96)
    with torch.no_grad(), taps.record() as features:
        output = c4.backbone(x)["res4"]
        stem = c4.backbone.stem(x)
        assert torch.equal(features["res2"], c4.backbone.res2(stem))
    assert torch.equal(features["res4"], output)


def test_module_path_is_measured_by_running_the_backbone(c4):
    taps = FeatureTaps(c4)
    assert taps.shape("backbone.res3.0") == ShapeSpec(channels=128, stride=8)
    with pytest.raises(ValueError, match="does not return one"):
        taps.shape("roi_heads")


def test_unknown_name_lists_what_exists(drfpn):
    with pytest.raises(KeyError, match=r"unknown feature 'res9'.*res2 \(24 channels, stride 4\)"):
        FeatureTaps(drfpn).require(["res9"])


def test_nothing_is_recorded_outside_a_recording(drfpn):
    taps = FeatureTaps(drfpn)
    taps.require(["res2"])
    with torch.no_grad():
        drfpn(make_inputs(1))
        assert taps.current is None
        with taps.record([(64, 96)]) as outer:
            drfpn(make_inputs(1))
            with taps.record() as inner:
                pass
            assert taps.current is outer
    assert list(outer) == ["res2"] and not inner


def test_frozen_features_are_found_without_disturbing_the_model():
    model = build_model(tiny_config("faster_rcnn_c4", "MODEL.BACKBONE.FREEZE_AT", 2)).train()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    taps = FeatureTaps(model)
    taps.require(["res2", "res3"])
    torch.manual_seed(0)
    assert taps.without_trainable_parameters() == ["res2"]
    assert torch.initial_seed() == 0 and torch.equal(torch.rand(3), seeded_numbers())
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert model.training and model.backbone.res3.training


def seeded_numbers():
    return torch.rand(3, generator=torch.Generator().manual_seed(0))


def test_detector_without_backbone_is_refused():
    with pytest.raises(ValueError, match="Linear cannot be tapped"):
        FeatureTaps(nn.Linear(2, 2))


def test_valid_cells_cover_partly_covered_cells():
    feature = torch.zeros(2, 5, 4, 6)
    mask = valid_cells([(64, 96), (33, 50)], 16, feature)
    assert mask.shape == (2, 1, 4, 6) and mask[0].all()
    assert mask[1, 0].nonzero().max(0).values.tolist() == [2, 3]
    assert mask[1].sum() == 3 * 4
    assert valid_cells([(64, 96), (50, 81)], 16, feature) is None


def test_masked_mean_is_the_mean_of_the_cut_out():
    x = torch.rand(2, 3, 4, 6, dtype=torch.double)
    mask = valid_cells([(64, 96), (33, 50)], 16, x)
    expected = torch.stack([x[0].mean((1, 2)), x[1, :, :3, :4].mean((1, 2))])
    torch.testing.assert_close(masked_mean(x, mask), expected)
    torch.testing.assert_close(masked_mean(x), x.mean((2, 3)))


def test_collecting_stops_behind_the_last_required_feature(c4):
    taps = FeatureTaps(c4)
    taps.require(["res2", "res3"])
    calls = []
    handles = [
        getattr(c4.backbone, name).register_forward_pre_hook(lambda *_, n=name: calls.append(n))
        for name in ("res3", "res4")
    ]
    x = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        features = taps.collect(lambda: c4.backbone(x), [(64, 90)])
        # A pass that is recorded as a whole is not cut short afterwards.
        with taps.record() as whole:
            assert "res4" in c4.backbone(x)
    for handle in handles:
        handle.remove()
    assert torch.equal(features["res3"], whole["res3"]) and set(features) == {"res2", "res3"}
    assert features.mask("res2").sum() == 16 * 23
    assert calls == ["res3", "res3", "res4"]


class Tokens(Backbone):
    """Patches of 16 pixels, with a border of one, as (N, H, W, C); then their mean."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 16, stride=16, padding=16)
        self.block = nn.Linear(8, 8)
        self.pool = nn.AdaptiveAvgPool2d(1)

    def forward(self, x):
        x = self.block(self.patches(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return {"last": x, "mean": self.pool(x)}

    def output_shape(self):
        return {"last": ShapeSpec(channels=8, stride=16)}


def test_channels_last_are_found_and_recorded_first():
    detector = nn.Module()
    detector.backbone = Tokens()
    taps = FeatureTaps(detector)
    assert taps.shape("backbone.block") == ShapeSpec(channels=8, stride=16)
    with pytest.raises(ValueError, match=r"'backbone\.pool'.*grows with the picture"):
        taps.shape("backbone.pool")  # one cell, whatever the picture
    taps.require(["backbone.block", "backbone.patches"])
    with torch.no_grad(), taps.record([(32, 64)]) as features:
        last = detector.backbone(torch.rand(1, 3, 32, 64))["last"]
    assert torch.equal(features["backbone.block"], last)
    assert features.mask("backbone.block").shape == (1, 1, *last.shape[2:])
    assert features["backbone.patches"].shape == last.shape


def test_the_one_outermost_backbone_is_found(drfpn):
    hidden = nn.Module()
    hidden.core = nn.Sequential(nn.Identity(), nn.ModuleDict({"body": drfpn.backbone}))
    taps = FeatureTaps(hidden)
    assert taps.backbone is drfpn.backbone and "p4" in taps.shapes and "res4" in taps.shapes
    assert taps.shape("core.1.body.fpn_output3") == taps.shapes["p3"]
    hidden.other = Tokens()
    with pytest.raises(ValueError, match=r"several Backbones, \['core\.1\.body', 'other'\]"):
        FeatureTaps(hidden)
