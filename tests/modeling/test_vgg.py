"""VGG16 against torchvision's layers; the published detector and how it is adapted."""

from __future__ import annotations

import pytest
import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.layers import ShapeSpec
from detectron2.modeling import build_model
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage
from torchvision.models import vgg

from drfpn_da import model_zoo
from drfpn_da.modeling.backbone import VGG16, VGG16BoxHead

PUBLISHED = "strong_weak/foggy_cityscapes/faster_rcnn_vgg16.yaml"


@pytest.fixture(scope="module")
def published():
    """The published model with narrow linear layers."""
    cfg = model_zoo.get_config(PUBLISHED)
    cfg.merge_from_list(
        "MODEL.DEVICE cpu MODEL.WEIGHTS '' MODEL.ROI_BOX_HEAD.FC_DIM 16 "
        "MODEL.RPN.POST_NMS_TOPK_TRAIN 50 MODEL.RPN.POST_NMS_TOPK_TEST 10".split()
    )
    cfg.MODEL.WEIGHTS = ""
    return build_model(cfg)


def test_layers_and_names_are_those_of_torchvision():
    body = VGG16(["conv5_3", "conv3_2"], freeze_at=0)
    reference = vgg.make_layers(vgg.cfgs["D"])[:-1]
    missing = body.features.load_state_dict(reference.state_dict())
    assert not missing.missing_keys and not missing.unexpected_keys
    x = torch.randn(2, 3, 50, 70)
    outputs = body(x)
    assert list(outputs) == ["conv3_2", "conv5_3"]
    # The published cuts: features[:14] and features[:-1].
    torch.testing.assert_close(outputs["conv3_2"], reference[:14](x), rtol=0, atol=0)
    torch.testing.assert_close(outputs["conv5_3"], reference(x), rtol=0, atol=0)
    assert body.output_shape() == {
        "conv3_2": ShapeSpec(channels=256, stride=4),
        "conv5_3": ShapeSpec(channels=512, stride=16),
    }


def test_layers_behind_the_last_output_do_not_exist():
    assert len(VGG16(["conv3_2"]).features) == 14


@pytest.mark.parametrize("freeze_at, frozen", [(0, 0), (1, 2), (2, 4), (5, 13)])
def test_blocks_are_frozen(freeze_at, frozen):
    body = VGG16(freeze_at=freeze_at)
    weights = [p for name, p in body.named_parameters() if name.endswith("weight")]
    assert [p.requires_grad for p in weights] == [False] * frozen + [True] * (13 - frozen)


def test_wrong_names_are_told():
    with pytest.raises(ValueError, match=r"MODEL\.VGG16\.OUT_FEATURES \['conv6_1'\]: known are"):
        VGG16(["conv6_1"])
    with pytest.raises(ValueError, match="FREEZE_AT is 6"):
        VGG16(freeze_at=6)


def test_box_head_drops_in_training_only():
    head = VGG16BoxHead(ShapeSpec(channels=4, height=7, width=7), width=64, dropout=0.5)
    x = torch.randn(3, 4, 7, 7)
    assert (head(x) == 0).float().mean() > (head.eval()(x) == 0).float().mean() + 0.1
    assert torch.equal(head(x), head(x))
    assert head.output_shape == ShapeSpec(channels=64)
    assert head(torch.zeros(0, 4, 7, 7)).shape == (0, 64)


def test_a_file_in_the_names_of_torchvision_loads_into_the_adapted_model(published, tmp_path):
    layers = vgg.make_layers(vgg.cfgs["D"])
    state = {f"features.{key}": value for key, value in layers.state_dict().items()}
    for name, shape in (("0", (16, 25088)), ("3", (16, 16)), ("6", (1000, 16))):
        state[f"classifier.{name}.weight"] = torch.randn(shape)
        state[f"classifier.{name}.bias"] = torch.randn(shape[0])
    torch.save(state, tmp_path / "vgg16_caffe.pth")
    file = f"{tmp_path / 'vgg16_caffe.pth'}?matching_heuristics=True"
    DetectionCheckpointer(published).load(file)
    loaded = published.detector.state_dict()
    for key, value in state.items():
        if not key.startswith("classifier.6"):
            prefix = "backbone" if key.startswith("features") else "roi_heads.box_head"
            assert torch.equal(loaded[f"{prefix}.{key}"], value), key


def test_a_step_of_the_published_model(published):
    published.train()
    truth = Instances((160, 192))
    truth.gt_boxes = Boxes(torch.tensor([[10.0, 20, 120, 140]]))
    truth.gt_classes = torch.tensor([3])
    batch = [
        {"image": torch.randint(0, 256, (3, 160, 192)), "instances": truth},
        {"image": torch.randint(0, 256, (3, 144, 224)), "domain": "target"},
    ]
    with EventStorage():
        losses = published(batch)
    assert {name for name in losses if name.startswith("strong_weak/")} == {
        "strong_weak/loss_local_conv3_2_source",
        "strong_weak/loss_local_conv3_2_target",
        "strong_weak/loss_global_conv5_3_source",
        "strong_weak/loss_global_conv5_3_target",
    }
    # A discriminator of random weights knows nothing: 1/2 of (1/2)^2.
    assert losses["strong_weak/loss_local_conv3_2_source"].item() == pytest.approx(0.125, abs=0.03)
    sum(losses.values()).backward()
    trained = {n for n, p in published.detector.named_parameters() if p.grad is not None}
    assert "backbone.features.10.weight" in trained
    assert "backbone.features.7.weight" not in trained
    for name in ("classifier.0.weight", "classifier.3.weight"):
        assert f"roi_heads.box_head.{name}" in trained
    published.zero_grad()
