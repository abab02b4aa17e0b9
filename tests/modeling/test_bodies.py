"""DRFPN over every kind of bottom-up network."""

import pytest
import torch
from detectron2.layers import FrozenBatchNorm2d, ShapeSpec
from detectron2.modeling import build_backbone
from detectron2.modeling.backbone import SwinTransformer, ViT
from detectron2.modeling.backbone.vit import SimpleFeaturePyramid
from torch import nn

from drfpn_da.config.setup import base_cfg
from drfpn_da.layers.frozen_norm import FoldedNorm
from drfpn_da.modeling import DRFPN, MobileNetV2, TimmBackbone


def config(body, **options):
    cfg = base_cfg()
    cfg.MODEL.BACKBONE.NAME = "build_drfpn_backbone"
    cfg.MODEL.DRFPN.BODY = body
    cfg.MODEL.FPN.IN_FEATURES = ["res2", "res3", "res4", "res5"]
    cfg.MODEL.RESNETS.OUT_FEATURES = ["res2", "res3", "res4", "res5"]
    cfg.MODEL.FPN.OUT_CHANNELS = 32
    cfg.merge_from_list(
        [x for key, value in options.items() for x in (key.replace("__", "."), value)]
    )
    return cfg


def check_levels(model, size=(64, 96), levels=("p2", "p3", "p4", "p5", "p6")):
    outputs = model(torch.randn(1, 3, *size))
    assert list(outputs) == list(levels)
    for name, y in outputs.items():
        shape = model.output_shape()[name]
        stride = shape.stride
        assert y.shape == (1, shape.channels, -(-size[0] // stride), -(-size[1] // stride))
    return outputs


@pytest.mark.parametrize("body", ["build_resnet_backbone", "build_mobilenetv2_backbone"])
def test_registered_bodies(body):
    check_levels(
        build_backbone(config(body, MODEL__RESNETS__DEPTH=18, MODEL__RESNETS__RES2_OUT_CHANNELS=64))
    )


@pytest.mark.parametrize(
    "top, last",
    [("p6p7_on_input", "p7"), ("p6p7_on_output", "p7"), ("none", "p5"), ("maxpool", "p6")],
)
def test_top_blocks(top, last):
    cfg = config("build_mobilenetv2_backbone", MODEL__DRFPN__TOP_BLOCK=top)
    assert list(build_backbone(cfg).output_shape())[-1] == last
    cfg.MODEL.DRFPN.IN_FEATURES = ["res3", "res4"]  # the last level is then p4, for every top block
    outputs = build_backbone(cfg)(torch.randn(1, 3, 64, 64))
    assert list(outputs)[-1] == {"p7": "p6", "p6": "p5", "p5": "p4"}[last]


def test_unknown_top_block_is_named():
    with pytest.raises(ValueError, match="TOP_BLOCK 'p6p7'"):
        build_backbone(config("build_mobilenetv2_backbone", MODEL__DRFPN__TOP_BLOCK="p6p7"))


@pytest.mark.parametrize("name", ["resnet10t", "convnext_atto", "swin_tiny_patch4_window7_224"])
def test_timm_models(name):
    pytest.importorskip("timm")
    cfg = config("build_timm_backbone", MODEL__TIMM__NAME=name)
    with torch.no_grad():
        check_levels(build_backbone(cfg), (64, 128))


def test_timm_maps_are_those_of_timm():
    timm = pytest.importorskip("timm")
    body = TimmBackbone("resnet10t", ["res3", "res5"], freeze_bn=False).eval()
    plain = timm.create_model("resnet10t", features_only=True).eval()
    plain.load_state_dict(body.model.state_dict())
    x = torch.randn(1, 3, 64, 64)
    expected, actual = plain(x), body(x)
    assert torch.equal(actual["res3"], expected[2]) and torch.equal(actual["res5"], expected[4])
    frozen = TimmBackbone("resnet10t")
    assert not any(isinstance(m, nn.BatchNorm2d) for m in frozen.modules())


def test_wrong_names_suggest_right_ones():
    pytest.importorskip("timm")
    with pytest.raises(ValueError, match=r"resnet18x.*near ones.*resnet18"):
        TimmBackbone("resnet18x")
    with pytest.raises(ValueError, match="res9"):
        TimmBackbone("resnet10t", ["res9"])
    with pytest.raises(ValueError, match="OUT_FEATURES"):
        MobileNetV2(["res1"])
    with pytest.raises(ValueError, match="NORM 'XN'"):
        MobileNetV2(norm="XN")


def test_detectron2_swin():
    body = SwinTransformer(embed_dim=24, depths=(1, 1, 1, 1), num_heads=(1, 2, 2, 4))
    model = DRFPN(body, ["p0", "p1", "p2", "p3"], 32)
    check_levels(model, levels=("p2", "p3", "p4", "p5"))


def test_detectron2_vit_through_its_simple_pyramid():
    vit = ViT(
        img_size=64, patch_size=16, embed_dim=32, depth=1, num_heads=2, out_feature="last_feat"
    )
    body = SimpleFeaturePyramid(
        vit, "last_feat", 32, (4.0, 2.0, 1.0, 0.5), norm="LN", square_pad=64
    )
    model = DRFPN(body, ["p2", "p3", "p4", "p5"], 32)
    check_levels(model, (64, 64), ("p2", "p3", "p4", "p5"))
    assert (
        model.padding_constraints["square_size"] == 64
    )  # what the ViT asks for reaches the detector


def test_mobilenet_trains_or_freezes_its_statistics():
    for norm, kind in (
        ("FrozenBN", FoldedNorm),
        ("BN", nn.BatchNorm2d),
        ("SyncBN", nn.SyncBatchNorm),
    ):
        norms = [m for m in MobileNetV2(norm=norm).modules() if type(m) is kind]
        assert len(norms) == 51
    assert set(MobileNetV2(["res4"]).output_shape()) == {"res4"}
    assert MobileNetV2().output_shape()["res5"] == ShapeSpec(channels=320, stride=32)


@pytest.mark.parametrize("freeze_at, blocks", [(0, 0), (1, 2), (2, 4), (3, 7), (4, 14), (5, 18)])
def test_frozen_stages_of_mobilenet_have_no_gradient_and_fixed_statistics(freeze_at, blocks):
    body = MobileNetV2(norm="BN", freeze_at=freeze_at)
    for i, block in enumerate(body.features):
        norms = {
            type(m) for m in block.modules() if isinstance(m, (nn.BatchNorm2d, FrozenBatchNorm2d))
        }
        assert norms == {FoldedNorm if i < blocks else nn.BatchNorm2d}
        assert all(p.requires_grad == (i >= blocks) for p in block.parameters())
    assert body.output_shape() == MobileNetV2().output_shape()


def test_mobilenet_reads_freeze_at():
    cfg = config("", MODEL__BACKBONE__NAME="build_mobilenetv2_backbone")
    features = build_backbone(cfg).features
    stem, res5 = features[0], features[17]
    assert not any(p.requires_grad for p in stem.parameters())  # detectron2's default is 2
    assert all(p.requires_grad for p in res5.parameters())
    with pytest.raises(
        ValueError, match=r"MODEL\.BACKBONE\.FREEZE_AT is 6; MobileNetV2 has 5 stages"
    ):
        MobileNetV2(freeze_at=6)
