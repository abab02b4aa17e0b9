"""Segmentation with the depth network's U-Net: transfer, and both tasks with attention exchange."""

from __future__ import annotations

import logging

import pytest
import torch
import torch.nn.functional as F
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.layers import ShapeSpec
from detectron2.modeling import build_model
from detectron2.utils.events import EventStorage
from detectron2.utils.file_io import PathManager

from drfpn_da import model_zoo
from drfpn_da.layers import AttentionExchange
from drfpn_da.modeling import MultiTaskSemSegHead, UNetSemSegHead
from drfpn_da.modeling.predicted_disparity import predict_disparities
from tests.tiny_detectors import make_inputs, make_target

SIZE = (64, 96)
TINY = [
    *("MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", "", "MODEL.MOBILENETV2.NORM", "BN"),
    *("MODEL.DEPTH.CHANNELS", [4, 6, 8], "MODEL.DEPTH.POSE.CHANNELS", [4, 8, 8]),
]
# Batch statistics would depend on the pass.
FROZEN = ("MODEL.MOBILENETV2.NORM", "FrozenBN")
SHAPES = {"a": ShapeSpec(channels=3, stride=4), "b": ShapeSpec(channels=5, stride=16)}


def build(name, *options):
    torch.manual_seed(0)
    cfg = model_zoo.get_config(name)
    cfg.merge_from_list([*TINY, "MODEL.TEACHER.START_ITER", 0])
    if cfg.MODEL.META_ARCHITECTURE == "DepthMixSegmentor":
        cfg.MODEL.DEPTH_MIX.START_ITER = 0
    cfg.merge_from_list(list(options))
    return build_model(cfg)


def multi_task(*options):
    return build("depth_mix/streets/multi_task_mobilenetv2_mini.yaml", *options).train()


def sequences(count=2, size=SIZE):
    """Target pictures with neighbours and intrinsics."""
    generator = torch.Generator().manual_seed(3)
    inputs = make_target(count, size)
    for x in inputs:
        for key in ("previous_image", "next_image"):
            x[key] = torch.randint(0, 256, (3, *size), generator=generator, dtype=torch.uint8)
        height, width = size
        x["intrinsics"] = torch.tensor(
            [[0.8 * width, 0, width / 2], [0, 0.8 * width, height / 2], [0, 0, 1]]
        )
    return inputs


def step(model, inputs, iteration=0):
    with EventStorage(iteration) as storage:
        losses = model(inputs)
    return losses, storage.latest()


def features():
    generator = torch.Generator().manual_seed(0)
    return {
        "a": torch.randn(2, 3, 12, 20, generator=generator),
        "b": torch.randn(2, 5, 3, 5, generator=generator),
    }


def head(kind=MultiTaskSemSegHead, **arguments):
    torch.manual_seed(0)
    return kind(SHAPES, num_classes=7, conv_dims=6, channels=[2, 4, 8], **arguments)


def convolve_3x3(x, weight):
    """One picture (C, H, W), with loops."""
    out, _, _, _ = weight.shape
    _, height, width = x.shape
    result = torch.zeros(out, height, width, dtype=x.dtype)
    for y in range(height):
        for z in range(width):
            for dy in (-1, 0, 1):
                for dz in (-1, 0, 1):
                    if 0 <= y + dy < height and 0 <= z + dz < width:
                        result[:, y, z] += weight[:, :, dy + 1, dz + 1] @ x[:, y + dy, z + dz]
    return result


def test_exchange_by_its_formula():
    exchange = AttentionExchange(2).double()
    first, second = torch.randn(2, 1, 2, 3, 4, dtype=torch.float64)
    assert not any("bias" in name for name, _ in exchange.named_parameters())
    for gate in (0.0, 0.7):
        for part in (exchange.to_first, exchange.to_second):
            if gate:
                torch.nn.init.normal_(part.gate.weight, std=gate)
        got = exchange(first, second)
        for (mine, other), part, found in zip(
            ((first, second), (second, first)), (exchange.to_first, exchange.to_second), got
        ):
            told = convolve_3x3(other[0], part.conv.weight.detach())
            opening = convolve_3x3(other[0], part.gate.weight.detach())
            share = 1 / (1 + torch.exp(-opening))
            assert gate or torch.all(share == 0.5)
            torch.testing.assert_close(found[0].detach(), mine[0] + told * share)


def test_exchange_passes_gradients_both_ways():
    exchange = AttentionExchange(2).double()
    for parameter in exchange.parameters():
        torch.nn.init.normal_(parameter)
    maps = [torch.randn(1, 2, 3, 3, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    assert torch.autograd.gradcheck(lambda a, b: exchange(a, b), maps)


def test_heads_segment_at_full_resolution():
    for kind in (UNetSemSegHead, MultiTaskSemSegHead):
        logits, losses = head(kind).eval()(features())
        assert logits.shape == (2, 7, 48, 80) and losses == {}


def test_what_each_task_knows_of_the_other():
    """Before the exchange nothing; after it, both depend on both decoders."""
    model = head(scales=3).eval()
    model.decoder.bottom.requires_grad_(True)
    strides = [d.shape[-1] for d in model.disparities(features())]
    assert strides == [80, 40, 20]
    depends = {}
    for name, value in (
        ("final", lambda: model.logits(features()).sum()),
        ("fine", lambda: model.disparities(features())[0].sum()),
        ("early", lambda: model.disparities(features())[2].sum()),
    ):
        grads = torch.autograd.grad(
            value(),
            [model.decoder.bottom[0].weight, model.depth.bottom[0].weight],
            allow_unused=True,
        )
        depends[name] = tuple(g is not None and bool(g.any()) for g in grads)
    assert depends == {"final": (True, True), "fine": (True, True), "early": (False, True)}


def test_without_exchange_it_is_the_plain_unet():
    plain, both = head(UNetSemSegHead).eval(), head().eval()
    both.load_state_dict(plain.state_dict(), strict=False)
    assert not torch.allclose(both.logits(features()), plain.logits(features()))
    torch.nn.init.zeros_(both.exchange.to_first.conv.weight)
    assert torch.equal(both.logits(features()), plain.logits(features()))


def test_labelled_loss_is_the_mean_of_both_outputs():
    model = head(loss_weight=3.0)
    targets = torch.randint(0, 7, (2, 48, 80))
    targets[0, :10], targets[1, :, 70:] = 255, 255
    _, losses = model(features(), targets)
    segmentation, _ = model._until_exchange(features())
    side = F.interpolate(model.side_predictor(segmentation), (48, 80), mode="bilinear")
    for name, logits in (("loss_sem_seg", model.logits(features())), ("loss_sem_seg_side", side)):
        logs = logits - logits.logsumexp(1, keepdim=True)
        kept = [
            -logs[n, targets[n, y, x], y, x]
            for n in range(2)
            for y in range(48)
            for x in range(80)
            if targets[n, y, x] != 255
        ]
        expected = 3.0 * 0.5 * torch.stack(kept).mean()
        torch.testing.assert_close(losses[name], expected, rtol=1e-5, atol=1e-6)
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in model.parameters())  # as DistributedDataParallel asks
    assert not model.depth.predictors["1"].weight.grad.any()


def test_an_all_void_batch_has_a_loss_of_zero():
    _, losses = head()(features(), torch.full((2, 48, 80), 255))
    assert all(loss.item() == 0 for loss in losses.values())


def test_impossible_stages_are_refused():
    with pytest.raises(ValueError, match=r"EXCHANGE_STRIDE is 1; write one of \[8, 4, 2\]"):
        head(exchange_stride=1)


def labelled_sequences():
    return [
        {**x, **{k: s[k] for k in ("previous_image", "next_image", "intrinsics")}}
        for x, s in zip(make_inputs(), sequences())
    ]


def test_depth_of_labelled_pictures_adds_its_losses():
    """As those of a target of the same pictures; those without neighbours give labels alone."""
    options = (*FROZEN, "MODEL.ADAPT.OBJECTIVES", ["SelfSupervisedDepth"])
    options += ("MODEL.META_ARCHITECTURE", "AdaptiveModel", "MODEL.DEPTH.ON_LABELLED")
    options = (*options[:-1], "MODEL.ADAPT.DETECTOR", "SemanticSegmentor", options[-1])
    off, on = multi_task(*options, False), multi_task(*options, True)
    labelled, target = labelled_sequences(), sequences()
    of_labelled = [{**x, "domain": "target"} for x in labelled]
    for key in ("depth/loss_photometric", "depth/loss_smoothness"):
        (plain, _), (alone, _) = (
            step(off, [*make_inputs(), *inputs]) for inputs in (target, of_labelled)
        )
        both, scalars = step(on, [*labelled, *target])
        torch.testing.assert_close(both[key], plain[key] + alone[key])
        assert scalars["depth/labelled_pictures"][0] == 2
        none, scalars = step(on, [*make_inputs(), *target])
        torch.testing.assert_close(none[key], plain[key])
        assert scalars["depth/labelled_pictures"][0] == 0


def test_reflection_at_the_border_of_maps():
    model = head(UNetSemSegHead, padding="reflect")
    conv = model.decoder.before["8"][0]
    x = torch.randn(1, conv.in_channels, 3, 5)
    expected = F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), conv.weight, conv.bias)
    torch.testing.assert_close(conv(x), expected)
    flat = {"a": torch.randn(1, 3, 4, 20), "b": torch.randn(1, 5, 1, 5)}
    with pytest.raises(ValueError, match=r"PADDING is 'reflect'.*\(1, 5\).*replicate"):
        model.eval()(flat)
    with pytest.raises(ValueError, match=r"PADDING is 'zeros'.*'reflect'"):
        head(UNetSemSegHead, padding="zeros")


def test_the_published_aspp_sees_the_last_feature_alone():
    """The other feature of its stride joins after it."""
    shapes = {**SHAPES, "c": ShapeSpec(channels=6, stride=16)}
    arguments = {"num_classes": 7, "conv_dims": 0, "channels": [2, 4, 8]}
    published = {"aspp_published": True, "aspp_dilations": [1, 2, 3]}
    model = UNetSemSegHead(shapes, **arguments, **published, aspp_dropout=0.0).eval()
    maps = {**features(), "c": torch.randn(2, 6, 3, 5)}
    decoder = model.decoder
    expected = decoder.join(torch.cat([decoder.bottom(maps["c"]), maps["b"]], dim=1))
    torch.testing.assert_close(decoder.start(maps), expected)
    names = [type(m).__name__ for m in decoder.bottom.modules()]
    assert names.count("BatchNorm2d") == names.count("ReLU") == 6
    assert model(maps)[0].shape == (2, 7, 48, 80) and model.predictor.in_channels == 2
    single = {key: value[:1] for key, value in maps.items()}
    with pytest.raises(ValueError, match=r"ASPP.PUBLISHED.*IMS_PER_BATCH"):
        model.train()(single, torch.zeros(1, 48, 80, dtype=torch.long))
    with pytest.raises(ValueError, match=r"DILATIONS \[\]"):
        UNetSemSegHead(shapes, **arguments, aspp_published=True)


def test_a_step_trains_both_tasks_and_mixes_by_its_own_depth():
    model = multi_task("MODEL.DEPTH_MIX.CONFIDENCE_RULE", "off")
    losses, scalars = step(model, [*make_inputs(), *sequences()])
    assert set(losses) == {
        "loss_sem_seg",
        "loss_sem_seg_side",
        "depth/loss_photometric",
        "depth/loss_smoothness",
        "depth_mix/loss_mix",
    }
    assert 0 < scalars["depth/moving_pixels"][0] <= 1
    sum(losses.values()).backward()
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    assert not [n for n, p in trained.items() if p.grad is None or not p.grad.isfinite().all()]
    assert trained["sem_seg_head.depth.predictors.1.weight"].grad.any()
    assert not any(n.startswith("teacher") for n in trained)


def test_the_mix_follows_the_students_disparity():
    """Recomputed: each picture's disparity is stretched by itself, and nearer covers farther."""
    model = multi_task("MODEL.DEPTH_MIX.MARGIN", 0.0, *FROZEN)
    inputs = sequences()
    step(model, [*make_inputs(), *inputs])
    mix = model.objectives["depth_mix"].last
    with torch.no_grad():
        d = predict_disparities(model.detector, inputs)[0][:, 0, : SIZE[0], : SIZE[1]]
    low, high = d.amin((1, 2), keepdim=True), d.amax((1, 2), keepdim=True)
    d = (d - low) / (high - low)
    torch.testing.assert_close(mix.disparity, d)
    assert torch.equal(mix.masks[0], d[0] >= d[1])
    assert not mix.disparity.requires_grad


def test_depth_losses_are_those_of_the_depth_network():
    """The same weights and frames give the losses of SelfSupervisedDepth."""
    depth = build("depth/streets/mobilenetv2_mini.yaml", *FROZEN).train()
    model = multi_task("MODEL.DEPTH_MIX.MASK", "none", "MODEL.DEPTH.AUTO_MASK", False, *FROZEN)
    depth.synthesis = model.objectives["depth"].synthesis
    head = model.detector.sem_seg_head
    torch.nn.init.zeros_(head.exchange.to_second.conv.weight)
    head.depth.load_state_dict(depth.decoder.state_dict())
    model.detector.backbone.load_state_dict(depth.backbone.state_dict())
    model.objectives["depth"].pose.load_state_dict(depth.pose.state_dict())
    inputs = sequences()
    found, _ = step(model, [*make_inputs(), *inputs])
    expected, _ = step(depth, inputs)
    for name, loss in expected.items():
        torch.testing.assert_close(found[name], loss)


def test_evaluation_needs_neither_pose_nor_teacher():
    model = multi_task()
    step(model, [*make_inputs(), *sequences()])
    state = model.state_dict()
    student = {k: v for k, v in state.items() if not k.startswith(("teacher.", "objectives."))}
    options = ("MODEL.META_ARCHITECTURE", "SemanticSegmentor")
    plain = build("depth_mix/streets/multi_task_mobilenetv2_mini.yaml", *options).eval()
    plain.load_state_dict(student)
    model.eval().teacher = None
    model.objectives["depth"].pose = None
    picture = make_target(1, (50, 70))
    with torch.no_grad():
        found, expected = (one(picture)[0]["sem_seg"] for one in (model, plain))
    assert torch.equal(found, expected) and found.shape == (11, 50, 70)


def test_a_plain_segmentor_trains_at_odd_sizes():
    for name in ("transfer", "multi_task"):
        model = build(
            f"depth_mix/streets/{name}_mobilenetv2_mini.yaml",
            *("MODEL.META_ARCHITECTURE", "SemanticSegmentor"),
        ).train()
        losses = model(make_inputs(size=(50, 90)))
        sum(losses.values()).backward()
        assert all(p.grad is not None for p in model.parameters())


def test_what_is_missing_is_named():
    model = multi_task()
    with pytest.raises(ValueError, match="no previous_image and no next_image and no intrinsics"):
        step(model, [*make_inputs(), *make_target()])
    with pytest.raises(ValueError, match=r"UNetSemSegHead.*MultiTaskSemSegHead"):
        build(
            "depth_mix/streets/transfer_mobilenetv2_mini.yaml",
            *("MODEL.DEPTH_MIX.DEPTH", "student"),
        )
    options = ("MODEL.ADAPT.OBJECTIVES", ["SelfSupervisedDepth"])
    with pytest.raises(ValueError, match="objective SelfSupervisedDepth needs a semantic head"):
        build("depth_mix/streets/transfer_mobilenetv2_mini.yaml", *options)


@pytest.fixture
def depth_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setenv("DRFPN_DA_CACHE", str(tmp_path / "cache"))
    depth = build("depth/streets/mobilenetv2_mini.yaml")
    with torch.no_grad():
        for number, parameter in enumerate(depth.parameters()):
            parameter.fill_(0.01 * (number + 1))
    DetectionCheckpointer(depth, str(tmp_path)).save("depth")
    return depth, tmp_path / "depth.pth"


@pytest.mark.parametrize("name", ["transfer", "multi_task"])
def test_a_depth_network_starts_the_segmentor(depth_checkpoint, caplog, name):
    depth, file = depth_checkpoint
    model = build(f"depth_mix/streets/{name}_mobilenetv2_mini.yaml")
    with caplog.at_level(logging.INFO):
        DetectionCheckpointer(model).load(f"drfpn-da://{name}/{file}")
    theirs, head = depth.decoder.state_dict(), model.detector.sem_seg_head
    mine = head.decoder.state_dict()
    assert set(theirs) - set(mine) == {k for k in theirs if k.startswith("predictors.")}
    assert all(torch.equal(value, theirs[key]) for key, value in mine.items())
    for key, value in model.detector.backbone.state_dict().items():
        assert torch.equal(value, depth.backbone.state_dict()[key])
    teacher = model.teacher.detector.sem_seg_head.decoder.state_dict()
    assert all(torch.equal(value, theirs[key]) for key, value in teacher.items())
    if name == "multi_task":
        assert all(torch.equal(v, theirs[k]) for k, v in head.depth.state_dict().items())
        pose = model.objectives["depth"].pose.state_dict()
        assert all(torch.equal(v, depth.pose.state_dict()[k]) for k, v in pose.items())
    assert f"{len(mine)} tensors of 'decoder.' are read as 'sem_seg_head.decoder.'" in caplog.text
    assert "sem_seg_head.predictor" in caplog.text  # what the checkpointer did not find
    assert "not used by the model" not in caplog.text


def test_other_checkpoints_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.pth; train the depth network first"):
        PathManager.get_local_path(f"drfpn-da://transfer/{tmp_path}/none.pth")
    torch.save(
        {"model": {"backbone.x": torch.zeros(1), "roi_heads.x": torch.zeros(1)}}, tmp_path / "d.pth"
    )
    with pytest.raises(
        ValueError, match=r"no checkpoint of a depth network.*'decoder\.'.*roi_heads"
    ):
        PathManager.get_local_path(f"drfpn-da://transfer/{tmp_path}/d.pth")


def test_bfloat16_is_finite_and_compares_depth_in_float32():
    model = multi_task("MODEL.DEPTH_MIX.CONFIDENCE_RULE", "off")
    with torch.autocast("cpu", torch.bfloat16):
        losses, _ = step(model, [*make_inputs(), *sequences()])
    assert all(loss.isfinite() and loss.dtype == torch.float32 for loss in losses.values())
    assert model.objectives["depth_mix"].last.disparity.dtype == torch.float32
    sum(losses.values()).backward()
