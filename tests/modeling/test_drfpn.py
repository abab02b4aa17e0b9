"""DRFPN as a part of detectron2: equivalences, odd sizes, failure modes, bodies."""

import pytest
import torch
import torch.nn.functional as F
from detectron2.layers import ShapeSpec
from detectron2.modeling import FPN, build_backbone
from detectron2.modeling.backbone import Backbone
from detectron2.modeling.backbone.fpn import LastLevelMaxPool
from detectron2.modeling.backbone.fpn import LastLevelP6P7 as StockP6P7
from torch import nn

from drfpn_da.functional import adaptive_average_matrix, offset_warp
from drfpn_da.layers import ChannelRefinementBlock, PyramidPooling, SpatialRefinementBlock
from drfpn_da.modeling import DRFPN, LastLevelP6P7
from tests.tiny_detectors import tiny_config

OFF = {"ppm": None, "srb": None, "crb": None}


class Body(Backbone):
    """A tiny bottom-up network: one strided convolution a level, strides 4 to 32."""

    def __init__(self, channels=(8, 12, 16, 20), strides=(4, 8, 16, 32)):
        super().__init__()
        self.shapes = {
            f"res{i + 2}": ShapeSpec(channels=c, stride=s)
            for i, (c, s) in enumerate(zip(channels, strides))
        }
        self.convs = nn.ModuleList(nn.Conv2d(3, c, 1) for c in channels)

    def forward(self, x):
        return {
            name: F.relu(conv(x[:, :, :: shape.stride, :: shape.stride]))
            for (name, shape), conv in zip(self.shapes.items(), self.convs)
        }

    def output_shape(self):
        return self.shapes


FEATURES = ["res2", "res3", "res4", "res5"]


def build(width=32, **options):
    torch.manual_seed(0)
    return DRFPN(Body(), FEATURES, width, **{"top_block": LastLevelMaxPool(), **options})


@pytest.mark.parametrize("top", ["maxpool", "p6p7"])
@pytest.mark.parametrize("fuse_type", ["sum", "avg"])
@pytest.mark.parametrize("norm", ["", "GN"])
def test_everything_off_is_detectron2_fpn_bit_for_bit(norm, fuse_type, top):
    def top_block():
        return LastLevelMaxPool() if top == "maxpool" else LastLevelP6P7(20, 32)

    ours = build(norm=norm, fuse_type=fuse_type, top_block=top_block(), bottom_up_path=False, **OFF)
    theirs = FPN(Body(), FEATURES, 32, norm=norm, top_block=top_block(), fuse_type=fuse_type)
    assert theirs.load_state_dict(ours.state_dict()) == ([], [])
    assert ours.output_shape() == theirs.output_shape()
    assert ours.size_divisibility == theirs.size_divisibility
    assert ours.padding_constraints.get("square_size", 0) == 0
    x = torch.randn(2, 3, 64, 96)
    expected, actual = theirs(x), ours(x)
    assert list(actual) == list(expected)
    assert all(torch.equal(actual[name], expected[name]) for name in expected)
    sum(y.square().sum() for y in actual.values()).backward()
    sum(y.square().sum() for y in expected.values()).backward()
    gradients = dict(ours.named_parameters())
    assert all(torch.equal(p.grad, gradients[n].grad) for n, p in theirs.named_parameters())


def test_bottom_up_path_alone_is_pafpn():
    """PAFPN by its definition (1803.01534): N(l+1) = P(l+1) + strided conv(N(l))."""
    ours = build(**OFF)
    plain = build(bottom_up_path=False, **OFF)
    plain.load_state_dict(ours.state_dict(), strict=False)
    x = torch.randn(2, 3, 64, 96)
    p, n = plain(x), ours(x)
    state = ours.state_dict()
    previous = p["p2"]
    assert torch.equal(n["p2"], previous)
    for level in (3, 4, 5):
        weight, bias = state[f"downsample{level}.weight"], state[f"downsample{level}.bias"]
        previous = F.conv2d(previous, weight, bias, stride=2, padding=1) + p[f"p{level}"]
        expected = F.conv2d(
            previous, state[f"pa_output{level}.weight"], state[f"pa_output{level}.bias"], padding=1
        )
        assert torch.equal(n[f"p{level}"], expected)
    assert torch.equal(n["p6"], n["p5"][:, :, ::2, ::2])


def test_training_starts_from_an_fpn():
    """All on, it equals FPN but for the ReLU on top and the nearly closed gates."""
    model, plain = build(), build(bottom_up_path=False, **OFF)
    plain.load_state_dict(model.state_dict(), strict=False)
    for name in ("weight", "bias"):
        getattr(plain.fpn_lateral5, name).data.copy_(getattr(model.ppm.reduce, name).data)
    plain.fpn_lateral5.register_forward_hook(lambda module, inputs, output: output.relu())
    x = torch.randn(2, 3, 64, 96)
    expected, actual = plain(x), model(x)
    torch.testing.assert_close(actual["p2"], expected["p2"])
    for name in ("p3", "p4", "p5"):
        added = actual[name] - expected[name]
        assert (added > -1e-5).all() and added.mean() < 0.06  # a share of 0.047 of a unit ReLU map
    sum(y.square().mean() for y in actual.values()).backward()
    learning = {name for name, p in model.named_parameters() if p.grad.abs().sum() > 0}
    silent = {name.split(".", 1)[1] for name in dict(model.named_parameters()).keys() - learning}
    # What feeds only the zeroed predictors learns from the second step on.
    assert silent <= {
        f"{part}.weight"
        for part in (
            "offset",
            "reduce_low",
            "reduce_high",
            "deconv",
            "weight_reduce",
            "pool0",
            "pool1",
            "pool2",
            "pool3",
        )
    } | {"deconv.bias"}


def test_srb_starts_as_plain_upsampling_and_its_predictors_learn():
    neck, plain = build(ppm=None, crb=None), build(ppm=None, crb=None, srb=None)
    assert neck.srb2.offset.weight.abs().sum() == 0
    plain.load_state_dict(neck.state_dict(), strict=False)
    x = torch.randn(2, 3, 64, 96)
    outputs = neck(x)
    for name, y in plain(x).items():
        torch.testing.assert_close(outputs[name], y, rtol=0, atol=0)
    optimizer = torch.optim.SGD(neck.parameters(), lr=1e-3)
    for _ in range(
        2
    ):  # the weight moves first; the offset has a gradient once the weight is not zero
        optimizer.zero_grad()
        sum(y.square().mean() for y in neck(x).values()).backward()
        optimizer.step()
    assert neck.srb2.weight_predict.weight.abs().sum() > 0
    assert neck.srb2.offset.weight.abs().sum() > 0


@pytest.mark.parametrize(
    "align_grid, padding", [(True, "border"), (True, "zeros"), (False, "border")]
)
def test_zero_offset_keeps_constants_unless_the_grid_leaves_the_map(align_grid, padding):
    warped = offset_warp(torch.ones(1, 2, 3, 5), torch.zeros(1, 2, 6, 9), align_grid, padding)
    inner = warped[:, :, 1:-1, 1:-1]
    torch.testing.assert_close(inner, torch.ones_like(inner))
    edge_is_one = bool((warped[:, :, 0] > 0.999).all())
    assert edge_is_one == (padding == "border")


def test_offset_unit_is_half_a_fine_cell():
    """A ramp along x sampled with an offset of 2 moves by one fine cell, half a coarse one."""
    ramp = torch.arange(8.0).expand(1, 1, 4, 8)
    offset = torch.zeros(1, 2, 8, 16)
    offset[:, 0] = 2
    moved = offset_warp(ramp, offset) - offset_warp(ramp, torch.zeros_like(offset))
    torch.testing.assert_close(moved[..., 2:-3], torch.full_like(moved[..., 2:-3], 0.5))
    assert offset_warp(ramp.half(), offset.half()).dtype == torch.float16


def test_cpu_channel_folding_changes_nothing():
    threads = torch.get_num_threads()
    source, offset = torch.randn(1, 6, 5, 7), torch.randn(1, 2, 9, 13)
    results = []
    try:
        for count in (1, 2, 4):
            torch.set_num_threads(count)
            x, o = source.clone().requires_grad_(), offset.clone().requires_grad_()
            y = offset_warp(x, o)
            y.square().sum().backward()
            results.append((y, x.grad, o.grad))
    finally:
        torch.set_num_threads(threads)
    for other in results[1:]:
        for a, b in zip(results[0], other):
            torch.testing.assert_close(a, b)


@pytest.mark.parametrize("size", [(250, 250), (100, 132), (33, 47), (64, 96), (1, 1)])
@pytest.mark.parametrize("compat", [False, True])
def test_odd_sizes_give_every_level_its_own_size(size, compat):
    model = build(64, authors_compat=compat).eval()
    x = torch.randn(1, 3, *size)
    shapes = {name: tuple(y.shape[-2:]) for name, y in model(x).items()}
    expected = {
        name.replace("res", "p"): tuple(y.shape[-2:]) for name, y in model.bottom_up(x).items()
    }
    expected["p6"] = tuple((n + 1) // 2 for n in expected["p5"])
    assert shapes == expected


@pytest.mark.parametrize("batch", [0, 1])
def test_small_batches_train(batch):
    model = build().train()
    outputs = model(torch.randn(batch, 3, 64, 64))
    assert outputs["p3"].shape == (batch, 32, 8, 8)
    sum(y.sum() for y in outputs.values()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_authors_norm_refuses_a_batch_of_one_by_name():
    model = build(authors_compat=True).train()
    with pytest.raises(ValueError, match=r"CRB\.GATE_NORM"):
        model(torch.randn(1, 3, 64, 64))
    assert model.eval()(torch.randn(1, 3, 64, 64))["p5"].isfinite().all()


@pytest.mark.parametrize("top, relu", [("p6p7_on_input", False), ("p6p7_on_output", True)])
def test_one_switch_leaves_out_the_relu_on_the_last_bottom_up_map(top, relu):
    options = ("MODEL.DRFPN.TOP_BLOCK", top, "MODEL.BACKBONE.NAME", "build_drfpn_backbone")
    for compat, expected in ((False, True), (True, relu)):
        cfg = tiny_config("retinanet", *options, "MODEL.DRFPN.AUTHORS_COMPAT", compat)
        assert build_backbone(cfg).top_block.relu == expected
    with pytest.raises(ValueError, match=r"use drfpn_da\.modeling\.LastLevelP6P7"):
        build(top_block=StockP6P7(20, 32), authors_compat=True)
    build(top_block=StockP6P7(20, 32))


def test_images_of_a_batch_do_not_influence_each_other_in_eval():
    model = build(init="c2_xavier").double().eval()
    x = torch.randn(3, 3, 64, 96).double()
    together = model(x)
    for i in range(3):
        for name, y in model(x[i : i + 1]).items():
            torch.testing.assert_close(together[name][i : i + 1], y)


def test_autocast_stays_close_to_float32():
    model = build(init="c2_xavier")
    x = torch.randn(2, 3, 64, 96)
    exact = model(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = model(x)
    for name, y in exact.items():
        error = (low[name].float() - y).abs().mean() / y.abs().mean()
        assert error < 0.05, (name, float(error))
    sum(y.float().square().mean() for y in low.values()).backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_pool_matrix_is_adaptive_pooling():
    x = torch.randn(2, 3, 7, 5).double()
    for bins in (1, 2, 3, 6):
        rows, columns = (
            adaptive_average_matrix(7, bins).double(),
            adaptive_average_matrix(5, bins).double(),
        )
        expected = F.adaptive_avg_pool2d(x, bins)
        torch.testing.assert_close(rows @ x @ columns.T, expected, atol=1e-6, rtol=1e-6)


def test_traced_model_equals_eager():
    model = build(init="c2_xavier").eval()
    traced = torch.jit.trace(model, torch.randn(1, 3, 96, 128), strict=False)
    other = torch.randn(1, 3, 96, 128)
    for name, y in traced(other).items():
        torch.testing.assert_close(y, model(other)[name], rtol=1e-4, atol=1e-5)


def test_fpn_checkpoint_loads_into_the_shared_names():
    fpn = FPN(Body(), FEATURES, 32, top_block=LastLevelP6P7(20, 32))
    model = build(top_block=LastLevelP6P7(20, 32))
    result = model.load_state_dict(fpn.state_dict(), strict=False)
    assert set(result.unexpected_keys) == {"fpn_lateral5.weight", "fpn_lateral5.bias"}
    parts = {key.rstrip("0123456789") for key in (k.split(".")[0] for k in result.missing_keys)}
    assert parts == {"srb", "crb", "ppm", "downsample", "pa_output"}


@pytest.mark.parametrize(
    "options, message",
    [
        ({"in_features": ["res2", "res4"]}, r"strides \[4, 16\]"),
        ({"in_features": ["res2", "res9"]}, "res9"),
        ({"in_features": []}, "IN_FEATURES"),
        ({"bottom_up_path": False}, "CRB"),
        ({"init": "kaiming"}, "INIT 'kaiming'"),
        ({"norm": "XN"}, "unknown norm 'XN'"),
        ({"out_channels": 40}, "multiple of 32"),
        ({"srb": {"weight_act": "relu6"}}, "WEIGHT_ACT 'relu6'"),
        ({"srb": {"padding_mode": "reflection"}}, "PADDING_MODE"),
        ({"srb": {"reduction": 64}}, "REDUCTION"),
        ({"crb": {"gate_act": "none"}}, "GATE_ACT 'none'"),
        ({"ppm": {"sizes": ()}}, "SIZES"),
        ({"fuse_type": "max"}, "fuse_type"),
    ],
)
def test_impossible_options_are_refused_by_name(options, message):
    arguments = {"in_features": FEATURES, "out_channels": 32, **options}
    with pytest.raises(ValueError, match=message):
        DRFPN(Body(), arguments.pop("in_features"), arguments.pop("out_channels"), **arguments)


def test_crb_by_its_definition():
    """Every option of the block against the formula in its docstring."""
    supervisor, x, down = (
        torch.randn(2, 32, 6, 8),
        torch.randn(2, 32, 3, 4),
        torch.randn(2, 32, 3, 4),
    )
    for act, residual in (("sigmoid", True), ("relu", False)):
        block = ChannelRefinementBlock(32, gate_act=act, residual=residual)
        y = F.group_norm(
            F.conv2d(x, block.input.weight, padding=1),
            32,
            block.input.norm.weight,
            block.input.norm.bias,
        )
        mean = supervisor.flatten(2).mean(2)
        gate = mean @ block.gate.weight[:, :, 0, 0].T + block.gate.bias
        gate = torch.sigmoid(gate) if act == "sigmoid" else gate.clamp(min=0)
        expected = down + y.clamp(min=0) * gate[:, :, None, None] + (x if residual else 0)
        torch.testing.assert_close(block(supervisor, x, down), expected, atol=1e-5, rtol=1e-5)


def test_srb_by_its_definition_on_odd_sizes():
    low, high = torch.randn(2, 8, 5, 7), torch.randn(2, 8, 3, 4)
    block = SpatialRefinementBlock(8, weight_act="sigmoid")
    block.init_identity()
    up = high.repeat_interleave(2, 2).repeat_interleave(2, 3)
    nearest = F.interpolate(high, size=(5, 7))
    expected = nearest + 0.5 * offset_warp(high, torch.zeros(2, 2, 5, 7))
    torch.testing.assert_close(block(low, high), expected)
    assert torch.equal(F.interpolate(high, size=(6, 8)), up)


def test_pyramid_pooling_by_its_definition():
    """The form of the paper: up-sample every pool, concatenate, one 1x1 convolution."""
    block, x = PyramidPooling(8, 32, norm="GN"), torch.randn(2, 8, 7, 5)
    reduced = block.reduce(x)
    maps = [
        F.interpolate(getattr(block, f"pool{i}")(F.adaptive_avg_pool2d(reduced, size)), size=(7, 5))
        for i, size in enumerate((1, 2, 3, 6))
    ]
    expected = F.relu(block.bottleneck(torch.cat([*maps, reduced], dim=1)))
    torch.testing.assert_close(block(x), expected, atol=1e-5, rtol=1e-5)
