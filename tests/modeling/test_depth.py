"""Depth decoder, pose network and ``SelfSupervisedDepth``, on a tiny backbone."""

from __future__ import annotations

import pytest
import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.layers import ShapeSpec
from detectron2.modeling import build_model
from detectron2.utils.events import EventStorage

from drfpn_da import model_zoo
from drfpn_da.modeling import DepthDecoder, PoseNetwork

OPTIONS = ["MODEL.DEPTH.CHANNELS", [4, 6, 8], "MODEL.DEPTH.POSE.CHANNELS", [4, 8, 8]]


def tiny_model(*options):
    torch.manual_seed(0)
    cfg = model_zoo.get_config("depth/streets/mobilenetv2_mini.yaml")
    cfg.merge_from_list(["MODEL.DEVICE", "cpu", *OPTIONS, *options])
    return build_model(cfg)


def make_samples(*sizes, static=False):
    generator = torch.Generator().manual_seed(1)
    samples = []
    for height, width in sizes:
        frames = torch.randint(0, 256, (3, 3, height, width), generator=generator)
        frames = frames[:1].expand(3, -1, -1, -1) if static else frames
        previous, image, following = frames.to(torch.uint8)
        k = torch.tensor([[0.8 * width, 0, width / 2], [0, 0.8 * width, height / 2], [0, 0, 1]])
        names = ("previous_image", "image", "next_image")
        samples.append({"intrinsics": k, **dict(zip(names, (previous, image, following)))})
    return samples


@pytest.mark.parametrize("aspp", [[], [1, 2, 3]])
def test_decoder_gives_a_disparity_per_scale(aspp):
    shapes = {"a": ShapeSpec(channels=3, stride=4), "b": ShapeSpec(channels=5, stride=16)}
    shapes["c"] = ShapeSpec(channels=2, stride=16)  # a dilated body has two of one stride
    decoder = DepthDecoder(shapes, channels=[2, 4], scales=3, aspp_dilations=aspp)
    features = {"a": torch.randn(2, 3, 12, 20)}
    features |= {name: torch.randn(2, shapes[name].channels, 3, 5) for name in "bc"}
    disparities = decoder(features)
    assert [d.shape[1:] for d in disparities] == [(1, 48, 80), (1, 24, 40), (1, 12, 20)]
    assert all(0 < d.min() and d.max() < 1 for d in disparities)
    sum(d.mean() for d in disparities).backward()
    assert all(p.grad is not None for p in decoder.parameters())


def test_decoder_refuses_what_cannot_be():
    shapes = {"a": ShapeSpec(channels=3, stride=8)}
    with pytest.raises(ValueError, match=r"SCALES is 4; .* 1 to 3"):
        DepthDecoder(shapes, scales=4)
    with pytest.raises(ValueError, match="'a' has stride 12"):
        DepthDecoder({"a": ShapeSpec(channels=3, stride=12)})
    with pytest.raises(ValueError, match=r"DILATIONS \[6\]: an ASPP has three"):
        DepthDecoder(shapes, scales=1, aspp_dilations=[6])
    with pytest.raises(ValueError, match=r"res7.*backbone gives.*res2"):
        tiny_model("MODEL.DEPTH.IN_FEATURES", ["res2", "res7"])


@pytest.mark.parametrize("body", ["conv", "resnet18", "resnet18_decoder"])
def test_pose_depends_on_the_order_of_frames(body):
    network = PoseNetwork(body, channels=[4, 8]).eval()
    first, second = torch.randn(2, 2, 3, 64, 64)
    rotation, translation = network(first, second)
    assert rotation.shape == translation.shape == (2, 3)
    assert not torch.allclose(rotation, network(second, first)[0])
    with pytest.raises(ValueError, match=r"'vgg'.*'conv', 'resnet18' or 'resnet18_decoder'"):
        PoseNetwork("vgg")


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("MODEL.DEPTH.ASPP.DILATIONS", [1, 2, 3], "MODEL.DEPTH.POSE.BODY", "resnet18"),
        ("MODEL.DEPTH.FEATURE_DISTANCE_WEIGHT", 0.01, "MODEL.DEPTH.AUTO_MASK", False),
    ],
    ids=["plain", "aspp", "feature distance"],
)
def test_two_steps_train_every_parameter(options):
    model = tiny_model(*options)
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    optimizer = torch.optim.Adam(trained.values(), lr=1e-3)
    samples = make_samples((64, 64), (64, 64))
    for _ in range(2):
        with EventStorage():
            losses = model(samples)
        assert all(torch.isfinite(loss) for loss in losses.values())
        optimizer.zero_grad()
        sum(losses.values()).backward()
        without = [n for n, p in trained.items() if p.grad is None or not p.grad.isfinite().all()]
        assert not without
        optimizer.step()
    expected = {"depth/loss_photometric", "depth/loss_smoothness"}
    if "MODEL.DEPTH.FEATURE_DISTANCE_WEIGHT" in options:
        expected.add("depth/loss_feature_distance")
        assert losses["depth/loss_feature_distance"] > 0  # the backbone has moved
    assert set(losses) == expected


def test_padding_enters_no_loss():
    """What the decoder predicts outside a picture changes neither of its losses."""
    model = tiny_model()
    samples = make_samples((64, 64), (32, 96))
    with EventStorage():
        assert all(torch.isfinite(v) for v in model(samples).values())
    with torch.no_grad():
        disparities = [torch.rand(2, 1, 64, 96), torch.rand(2, 1, 32, 48)]
        pose = [torch.eye(4).expand(2, 4, 4)] * 2
        generator = torch.Generator().manual_seed(0)
        clean = model.synthesis.of_one_size(
            samples, [0], disparities, [p[:1] for p in pose], generator
        )
        disparities[0][0, :, :, 64:] = 0.5
        disparities[1][0, :, :, 33:] = 0.5
        generator.manual_seed(0)
        dirty = model.synthesis.of_one_size(
            samples, [0], disparities, [p[:1] for p in pose], generator
        )
    torch.testing.assert_close(clean[0], dirty[0], atol=1e-4, rtol=0)
    torch.testing.assert_close(clean[1], dirty[1])


def test_static_camera_is_masked_everywhere():
    model = tiny_model()
    with EventStorage() as storage:
        losses = model(make_samples((64, 64), static=True))
        assert storage.latest()["depth/moving_pixels"][0] < 0.01
    assert losses["depth/loss_photometric"] < 1e-4


def test_noise_repeats_after_resuming(tmp_path):
    samples = make_samples((64, 64))
    model = tiny_model("MODEL.DEPTH.FEATURE_DISTANCE_WEIGHT", 0.01)
    with EventStorage():
        model(samples)
        DetectionCheckpointer(model, str(tmp_path)).save("half")
        expected = model(samples)
        other = tiny_model("MODEL.DEPTH.FEATURE_DISTANCE_WEIGHT", 0.01)
        with torch.no_grad():
            for parameter in other.parameters():
                parameter.zero_()
        DetectionCheckpointer(other).load(str(tmp_path / "half.pth"))
        before = torch.get_rng_state()
        found = other(samples)
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_reference_holds_the_loaded_features(tmp_path):
    plain = tiny_model()
    with torch.no_grad():
        for parameter in plain.backbone.parameters():
            parameter.mul_(1.1)
    DetectionCheckpointer(plain, str(tmp_path)).save("plain")
    model = tiny_model("MODEL.DEPTH.FEATURE_DISTANCE_WEIGHT", 1.0)
    DetectionCheckpointer(model).load(str(tmp_path / "plain.pth"))
    model.eval()
    model.training = True
    with EventStorage():
        losses = model(make_samples((64, 64)))
    assert float(losses["depth/loss_feature_distance"].detach()) == 0
    assert not any(p.requires_grad for p in model.reference.parameters())


def test_frozen_backbone_stays_as_it_is():
    model = tiny_model("MODEL.DEPTH.FREEZE_BACKBONE", True, "MODEL.MOBILENETV2.NORM", "BN")
    model.train()
    before = {k: v.clone() for k, v in model.backbone.state_dict().items()}
    with EventStorage():
        sum(model(make_samples((64, 64))).values()).backward()
    assert all(torch.equal(v, before[k]) for k, v in model.backbone.state_dict().items())
    assert all(p.grad is None for p in model.backbone.parameters())


def test_bfloat16_losses_are_finite_and_exact_types():
    model = tiny_model()
    with EventStorage(), torch.autocast("cpu", dtype=torch.bfloat16):
        losses = model(make_samples((64, 64)))
    assert all(v.dtype == torch.float32 and torch.isfinite(v) for v in losses.values())
    sum(losses.values()).backward()


def test_prediction_has_the_size_asked_for_and_needs_no_pose():
    model = tiny_model().eval()
    model.pose = None
    picture = torch.randint(0, 256, (3, 50, 70), dtype=torch.uint8)
    with torch.no_grad():
        full, plain = model([{"image": picture, "height": 100, "width": 140}, {"image": picture}])
    assert full["disparity"].shape == (100, 140) and plain["depth"].shape == (50, 70)
    assert 0 < full["disparity"].min() and full["disparity"].max() < 1
    near, far = full["disparity"].argmax(), full["disparity"].argmin()
    assert full["depth"].flatten()[near] < full["depth"].flatten()[far]


def test_depth_range_must_ascend():
    with pytest.raises(ValueError, match=r"MIN_DEPTH 5.0 and MAX_DEPTH 1.0"):
        tiny_model("MODEL.DEPTH.MIN_DEPTH", 5.0, "MODEL.DEPTH.MAX_DEPTH", 1.0)
