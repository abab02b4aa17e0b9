"""FCOS for slender objects: nothing changes when off; every part does what it says."""

from __future__ import annotations

import pytest
import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.layers import ShapeSpec
from detectron2.modeling import build_model
from detectron2.modeling.meta_arch.fcos import FCOS as StockFCOS
from detectron2.modeling.meta_arch.fcos import FCOSHead
from detectron2.structures import Boxes
from detectron2.utils.events import EventStorage
from torch import nn

from drfpn_da.functional.adaptation import box_offsets, scale_gradient
from drfpn_da.functional.centerness import centerness
from drfpn_da.layers.offset_conv import OffsetConv2d
from drfpn_da.modeling.dense_heads import SlenderFCOSHead
from tests.integration.test_detectors import make_inputs, tiny_config

TWO_STEP = ["MODEL.FCOS.TWO_STEP.ENABLED", True]
VARIANTS = {
    "centerness": ["MODEL.FCOS.CENTERNESS", "slender", "MODEL.FCOS.CENTERNESS_WEIGHTED_LOSS", True],
    "unsupervised": ["MODEL.FCOS.ADAPTATION", "unsupervised"],
    "split": ["MODEL.FCOS.ADAPTATION", "split"],
    "supervised": ["MODEL.FCOS.ADAPTATION", "supervised", *TWO_STEP],
    "two steps": TWO_STEP,
    "residual": [*TWO_STEP, "MODEL.FCOS.TWO_STEP.RESIDUAL", True],
    "everything": [
        "MODEL.FCOS.CENTERNESS", "slender", "MODEL.FCOS.CENTERNESS_WEIGHTED_LOSS", True,
        "MODEL.FCOS.ADAPTATION", "supervised", *TWO_STEP, "MODEL.FCOS.TWO_STEP.RESIDUAL", True,
    ],
}  # fmt: skip


def build(*options, seed=0):
    torch.manual_seed(seed)
    return build_model(tiny_config("fcos", "MODEL.FCOS.SCORE_THRESH_TEST", 0.0, *options))


def make_head(channels=8, levels=1, **options):
    shapes = [ShapeSpec(channels=channels, stride=8)] * levels
    return SlenderFCOSHead(
        input_shape=shapes, num_classes=3, conv_dims=[channels] * 2, norm="GN" if channels % 32 == 0
        else "", **options,
    )  # fmt: skip


def stock_of(model):
    return StockFCOS(
        backbone=model.backbone,
        head=model.head,
        head_in_features=model.head_in_features,
        num_classes=model.num_classes,
        test_score_thresh=0.0,
        pixel_mean=model.pixel_mean.flatten().tolist(),
        pixel_std=model.pixel_std.flatten().tolist(),
    )


def run(model, inputs, training=True):
    model.train(training)
    with EventStorage():
        return model(inputs)


@pytest.mark.parametrize("objects", [0, 2])
def test_all_off_is_detectron2_bit_for_bit(objects):
    ours = build()
    assert type(ours.head) is FCOSHead
    stock = stock_of(ours)
    inputs = make_inputs(objects=objects)
    mine, theirs = run(ours, inputs), run(stock, inputs)
    assert mine.keys() == theirs.keys() and all(torch.equal(mine[k], theirs[k]) for k in mine)
    with torch.no_grad():
        for a, b in zip(run(ours, inputs, False), run(stock, inputs, False)):
            a, b = a["instances"], b["instances"]
            assert len(a) > 0 and torch.equal(a.scores, b.scores)
            assert torch.equal(a.pred_boxes.tensor, b.pred_boxes.tensor)


@pytest.mark.parametrize("name", VARIANTS)
def test_variant_trains_every_parameter_saves_and_predicts(name, tmp_path):
    model = build(*VARIANTS[name])
    with torch.no_grad():  # off the start, at which offsets and ReLUs are flat
        for parameter in model.head.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    losses = run(model, make_inputs())
    sum(losses.values()).backward()
    assert all("loss" in key for key in losses) and sum(losses.values()).isfinite()
    for key, parameter in model.head.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), key
    model.zero_grad(set_to_none=True)
    empty = sum(run(model, make_inputs(objects=0)).values())
    empty.backward()
    assert empty.isfinite()
    assert all(p.grad is not None for p in model.head.parameters()), "DDP needs every parameter"

    DetectionCheckpointer(model, str(tmp_path)).save("model")
    again = build(*VARIANTS[name], seed=1)
    DetectionCheckpointer(again).load(str(tmp_path / "model.pth"))
    with torch.no_grad():
        a, b = (run(m, make_inputs(1), False)[0]["instances"] for m in (model, again))
    assert torch.equal(a.pred_boxes.tensor, b.pred_boxes.tensor) and a.image_size == (128, 192)


@pytest.mark.parametrize("name", ["unsupervised", "split", "supervised", "residual"])
def test_plain_checkpoint_loads_and_the_start_is_fcos(name, tmp_path):
    """Zero offsets: until training moves them, the final prediction is that of plain FCOS."""
    plain = build()
    DetectionCheckpointer(plain, str(tmp_path)).save("plain")
    slender = build(*VARIANTS[name], seed=1)
    DetectionCheckpointer(slender).load(str(tmp_path / "plain.pth"))
    added = slender.state_dict().keys() - plain.state_dict().keys()
    assert added and all("offset" in key or "bbox_init" in key for key in added)
    assert not plain.state_dict().keys() - slender.state_dict().keys()
    features = [torch.randn(1, 64, 6, 9) for _ in plain.head_in_features]
    theirs, mine = plain.head(features), slender.head(features)
    # The corners of "supervised" follow the initial box at once; a residual starts from that box.
    for kind in {"supervised": (), "residual": (0, 2)}.get(name, (0, 1, 2)):
        for a, b in zip(theirs[kind], mine[kind]):
            torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def flat(maps, image):
    return torch.cat([m[image].flatten(1).t() for m in maps])


def test_centerness_and_weights_in_the_losses():
    """Computed anew from the model's own predictions."""
    model = build(*VARIANTS["centerness"])
    inputs = make_inputs()
    losses = run(model, inputs)
    images = model.preprocess_image(inputs)
    features = model.backbone(images.tensor)
    features = [features[f] for f in model.head_in_features]
    _, deltas, ctrness = model.head(features)
    anchors = model.anchor_generator(features)
    labels, boxes = model.label_anchors(anchors, [x["instances"] for x in inputs])
    points = Boxes.cat(anchors).get_centers()
    size = (Boxes.cat(anchors).tensor[:, 2] - Boxes.cat(anchors).tensor[:, 0])[:, None]
    total, bce, weights = 0.0, 0.0, 0.0
    for i in range(len(inputs)):
        positive = labels[i] < model.num_classes
        p, gt, s = points[positive], boxes[i][positive], size[positive]
        target = centerness(torch.cat([p - gt[:, :2], gt[:, 2:] - p], dim=1), "slender")
        d = flat(deltas, i)[positive].relu() * s
        pred = torch.cat([p - d[:, :2], p + d[:, 2:]], dim=1)
        inter = torch.minimum(pred[:, 2:], gt[:, 2:]) - torch.maximum(pred[:, :2], gt[:, :2])
        inter = inter.clamp(min=0).prod(1)
        union = (pred[:, 2:] - pred[:, :2]).prod(1) + (gt[:, 2:] - gt[:, :2]).prod(1) - inter
        hull = (torch.maximum(pred[:, 2:], gt[:, 2:]) - torch.minimum(pred[:, :2], gt[:, :2])).prod(
            1
        )
        giou = inter / (union + 1e-7) - (hull - union) / (hull + 1e-7)
        total, weights = total + ((1 - giou) * target).sum(), weights + target.sum()
        c = flat(ctrness, i)[positive].flatten().sigmoid()
        bce = bce - (target * c.log() + (1 - target) * (1 - c).log()).sum()
    torch.testing.assert_close(losses["loss_fcos_loc"], total / weights, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        losses["loss_fcos_ctr"], bce / model.loss_normalizer, rtol=1e-4, atol=1e-5
    )


def test_weights_of_the_two_box_losses():
    one = run(build(*TWO_STEP), make_inputs())
    options = [
        "MODEL.FCOS.TWO_STEP.INIT_LOSS_WEIGHT",
        1.5,
        "MODEL.FCOS.TWO_STEP.REFINE_LOSS_WEIGHT",
        4.0,
    ]
    two = run(build(*TWO_STEP, *options), make_inputs())
    torch.testing.assert_close(two["loss_fcos_loc_init"], 3 * one["loss_fcos_loc_init"])
    torch.testing.assert_close(two["loss_fcos_loc"], 4 * one["loss_fcos_loc"])


# --------------------------------------------------------------------------------------------------
# Adaptation
# --------------------------------------------------------------------------------------------------


def linear_map(height=12, width=14):
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return (x + 100.0 * y)[None, None]


@pytest.mark.parametrize("tap", [0, 3, 8])
def test_samples_lie_where_the_box_says(tap):
    """Sampling a map of its own coordinates with one tap of the kernel shows the place."""
    conv = OffsetConv2d(1, 1, 3, padding=1, bias=False)
    nn.init.zeros_(conv.weight)
    conv.weight.data.view(-1)[tap] = 1
    left, top, right, bottom = 1.5, 2.25, 3.5, 0.75
    ltrb = torch.tensor([left, top, right, bottom]).view(1, 4, 1, 1).expand(1, 4, 12, 14)
    free = torch.zeros(1, 14, 12, 14)
    free[:, 4], free[:, 5] = -0.5, 2.0  # y and x of the fourth sample
    moved = {0: (-top, -left), 3: (-0.5, -1 + 2.0), 8: (bottom, right)}[tap]
    sampled = conv(linear_map(), box_offsets(ltrb, free))[0, 0]
    y, x = 5, 6
    assert sampled[y, x].item() == pytest.approx(100 * (y + moved[0]) + x + moved[1], abs=1e-3)


def test_zero_offsets_are_a_convolution_and_keep_its_names():
    plain, ours = nn.Conv2d(4, 6, 3, padding=1), OffsetConv2d(4, 6, 3, padding=1)
    ours.load_state_dict(plain.state_dict())
    x = torch.randn(2, 4, 7, 9)
    torch.testing.assert_close(ours(x, x.new_zeros(2, 18, 7, 9)), plain(x), atol=1e-5, rtol=1e-5)


def test_gradient_of_the_initial_box_is_scaled():
    x = torch.ones(3, requires_grad=True)
    y = scale_gradient(x, 0.1)
    (y * torch.tensor([1.0, 2, 3])).sum().backward()
    assert torch.equal(y, x) and torch.allclose(x.grad, torch.tensor([0.1, 0.2, 0.3]))


def test_offsets_shared_or_split():
    feature = [torch.randn(1, 8, 5, 5)]
    for adaptation, moves_cls in (("unsupervised", True), ("split", False)):
        head = make_head(adaptation=adaptation)
        before = head(feature)
        head.offset.bias.data.fill_(1.0)
        after = head(feature)
        assert not torch.allclose(before[2][0], after[2][0])  # localisation
        assert torch.allclose(before[0][0], after[0][0]) is not moves_cls


def test_residual_adds_the_initial_box_without_its_gradient():
    head = make_head(two_step=True, residual=True)
    head.bbox_init.bias.data.fill_(2.0)
    head.bbox_pred.weight.data.zero_()
    _, deltas, _, init = head([torch.randn(1, 8, 5, 5)])
    torch.testing.assert_close(deltas[0], init[0].relu())
    deltas[0].sum().backward()
    assert head.bbox_init.weight.grad is None


@pytest.mark.parametrize("residual", [False, True])
def test_both_localisations_start_with_boxes_that_can_learn(residual):
    """At empty boxes the overlap has no gradient: a distance of 0 or less would never grow."""
    torch.manual_seed(0)
    head = make_head(32, two_step=True, residual=residual)
    _, final, _, init = head([torch.randn(4, 32, 16, 16)])
    for deltas in (final[0], init[0]):
        assert deltas.min() > 0.2 and deltas.mean().item() == pytest.approx(1, abs=0.1)
    assert torch.equal(final[0], init[0]) is residual


def test_runs_under_autocast():
    head = make_head(adaptation="supervised", two_step=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs = head([torch.randn(1, 8, 5, 5)])
    sum(x[0].float().sum() for x in outputs).backward()
    assert all(p.grad is not None for p in head.parameters())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["MODEL.FCOS.ADAPTATION", "magic"], r"ADAPTATION 'magic': use none, unsupervised"),
        (["MODEL.FCOS.ADAPTATION", "supervised"], r"'supervised' needs an initial box"),
        (["MODEL.FCOS.TWO_STEP.RESIDUAL", True], r"RESIDUAL needs an initial box"),
        ([*TWO_STEP, "MODEL.FCOS.NUM_CONVS", 0], r"NUM_CONVS is 0"),
        (["MODEL.FCOS.CENTERNESS", "thin"], r"centerness 'thin'"),
    ],
)
def test_what_does_not_go_together_is_refused(options, words):
    with pytest.raises(ValueError, match=words):
        build(*options)


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["split", "everything"])
def test_same_on_a_gpu_and_under_mixed_precision(name):
    model = build(*VARIANTS[name])
    expected = run(model, make_inputs())
    model = model.cuda()
    del model.loss_normalizer
    actual = run(model, make_inputs())
    for key, value in expected.items():
        torch.testing.assert_close(actual[key].cpu(), value, rtol=1e-2, atol=1e-3)
    with torch.autocast("cuda", dtype=torch.float16):
        assert sum(run(model, make_inputs()).values()).isfinite()
