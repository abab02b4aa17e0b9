"""The stem's map as a feature of detectron2's ResNet."""

from __future__ import annotations

import pytest
import torch
from detectron2.config import get_cfg
from detectron2.layers import ShapeSpec
from detectron2.modeling import build_backbone
from torch.nn.functional import relu

from drfpn_da.modeling.backbone import OpenStemResNet, small_resnet

SMALL = ("MODEL.RESNETS.DEPTH", 18, "MODEL.RESNETS.RES2_OUT_CHANNELS", 64)


def build(name, features, *options):
    torch.manual_seed(0)
    cfg = get_cfg()
    cfg.merge_from_list(["MODEL.BACKBONE.NAME", name, "MODEL.RESNETS.NORM", "BN", *SMALL])
    cfg.merge_from_list(["MODEL.RESNETS.OUT_FEATURES", features, *options])
    return build_backbone(cfg)


def test_all_other_features_are_those_of_the_plain_resnet():
    plain = build("build_resnet_backbone", ["stem", "res3", "res5"]).eval()
    ours = build("build_resnet_stem_backbone", ["res1", "stem", "res3", "res5"]).eval()
    assert ours.load_state_dict(plain.state_dict()) == ([], [])
    picture = torch.randn(1, 3, 64, 96)
    expected, found = plain(picture), ours(picture)
    assert set(found) == {"res1", *expected}
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    assert torch.equal(found["res1"], relu(plain.stem.conv1(picture)))
    assert ours.output_shape() == {
        **plain.output_shape(),
        "res1": ShapeSpec(channels=64, stride=2),
    }
    assert found["res1"].shape == (1, 64, 32, 48)


def test_frozen_layers_stay_frozen():
    ours = build("build_resnet_stem_backbone", ["res1", "res5"], "MODEL.BACKBONE.FREEZE_AT", 2)
    trained = {name.split(".")[0] for name, p in ours.named_parameters() if p.requires_grad}
    assert trained == {"res3", "res4", "res5"}


def test_what_cannot_be_opened_is_refused():
    with pytest.raises(ValueError, match="OUT_FEATURES names no feature besides res1"):
        build("build_resnet_stem_backbone", ["res1"])
    with pytest.raises(ValueError, match="begins with SmallStem"):
        OpenStemResNet(small_resnet())
