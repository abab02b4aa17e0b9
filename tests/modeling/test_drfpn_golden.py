"""DRFPN against the numbers of the published implementation (tests/golden/drfpn.json)."""

import pytest
import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling.backbone.fpn import LastLevelMaxPool

from drfpn_da.functional import offset_warp
from drfpn_da.layers import ChannelRefinementBlock, PyramidPooling, SpatialRefinementBlock
from drfpn_da.modeling import DRFPNNeck, LastLevelP6P7
from drfpn_da.modeling.backbone.drfpn import AUTHORS_CRB, AUTHORS_SRB
from tests.golden_fill import assert_close, canonical_name, cosine_sum, fill, published, wave

GOLDEN = published("drfpn")
VARIANTS = ("rcnn", "retinanet", "fcos")


def build_neck(variant, channels, out_channels, **options):
    """The neck of one published variant over maps C2.. of the given channels."""
    levels = range(2, 6) if variant == "rcnn" else range(3, 6)
    shapes = {
        f"res{level}": ShapeSpec(channels=channels[level], stride=2**level) for level in levels
    }
    if variant == "rcnn":
        top = LastLevelMaxPool()
    elif variant == "retinanet":
        top = LastLevelP6P7(channels[5], out_channels, "res5")
    else:
        top = LastLevelP6P7(out_channels, out_channels, "p5")
    return DRFPNNeck(shapes, list(shapes), out_channels, top_block=top, **options)


def check_entries(actual, entries, what, **tolerance):
    for index, value in entries.items():
        assert_close(actual.flatten()[int(index)], value, f"{what}[{index}]", **tolerance)


@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_neck_matches_the_published_implementation(variant, mode):
    golden = GOLDEN[variant]
    channels = {level: GOLDEN["input"]["shapes"][f"C{level}"][1] for level in range(2, 6)}
    neck = build_neck(variant, channels, 16, authors_compat=True).double()
    fill(neck, golden["fill"])
    for name, tensor in neck.state_dict().items():
        if name.startswith("srb") and name.endswith("offset.weight"):
            tensor.mul_(20)
    neck.train(mode == "train")
    inputs = {
        level: wave(GOLDEN["input"]["shapes"][level], int(level[1])).requires_grad_()
        for level in golden["levels_used"]
    }
    outputs = neck({f"res{level[1]}": x for level, x in inputs.items()})
    loss = sum(cosine_sum(x) for x in outputs.values())
    loss.backward()

    expected = golden[mode]
    assert list(outputs) == list(expected["outputs"])
    for level, values in expected["outputs"].items():
        actual = outputs[level]
        assert list(actual.shape) == values["shape"]
        assert_close(actual.mean(), values["mean"], level)
        assert_close(actual.std(unbiased=False), values["std"], level)
        check_entries(actual, values["entries"], level)
    assert_close(loss, expected["loss"])
    for level, x in inputs.items():
        assert_close(x.grad.norm(), expected["input_grad_norm"][level], level)
        check_entries(x.grad, expected["input_grad_entries"][level], level)
    norms = {canonical_name(name): p.grad.norm() for name, p in neck.named_parameters()}
    assert norms.keys() == expected["param_grad_norm"].keys()
    for name, norm in norms.items():
        assert_close(norm, expected["param_grad_norm"][name], name)
    if mode == "train":
        buffers = {canonical_name(name): b for name, b in neck.named_buffers()}
        assert buffers.keys() == expected["buffers_after"].keys()
        for name, value in expected["buffers_after"].items():
            assert_close(buffers[name], value, name)


@pytest.mark.parametrize("case", ["plain", "offset_x10"])
def test_spatial_refinement_block(case):
    golden = GOLDEN["srb"]
    block = SpatialRefinementBlock(4, **AUTHORS_SRB).double()
    fill(block, golden["fill"])
    if case == "offset_x10":
        block.offset.weight.data.mul_(10)
    low, high = wave((1, 4, 4, 6), 1).requires_grad_(), wave((1, 4, 2, 3), 2).requires_grad_()
    offset, weight = block.predict(low, high)
    output = block(low, high)
    cosine_sum(output).backward()
    expected = golden[case]
    for name, actual in (("offset", offset), ("weight", weight), ("output", output)):
        assert_close(actual, expected[name], name)
    assert_close(low.grad, expected["grad_low"])
    assert_close(high.grad, expected["grad_high"])
    for name, parameter in block.named_parameters():
        assert_close(parameter.grad.norm(), expected["param_grad_norm"][name], name)
    torch.testing.assert_close(block.merge(low, high), low + output, rtol=0, atol=1e-14)


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_channel_refinement_block(mode):
    golden = GOLDEN["crb"]
    block = ChannelRefinementBlock(4, **AUTHORS_CRB).double().train(mode == "train")
    fill(block, golden["fill"])
    supervisor, x = wave((2, 4, 4, 6), 1).requires_grad_(), wave((2, 4, 2, 3), 2).requires_grad_()
    output = block(supervisor, x, torch.zeros_like(x))
    cosine_sum(output).backward()
    expected = golden[mode]
    assert_close(output, expected["output"])
    assert_close(supervisor.grad, expected["grad_supervisor"])
    assert_close(x.grad, expected["grad_input"])
    if mode == "train":
        buffers = {canonical_name(name): b for name, b in block.named_buffers()}
        for name, value in expected["buffers_after"].items():
            assert_close(buffers[name], value, name)


@pytest.mark.parametrize("size", [(2, 3), (7, 5)])
def test_pyramid_pooling(size):
    golden = GOLDEN["ppm"]
    block = PyramidPooling(5, 4).double()
    fill(block, golden["fill"])
    x = wave((1, 5, *size), 1).requires_grad_()
    output = block(x)
    cosine_sum(output).backward()
    expected = golden["{}x{}".format(*size)]
    assert_close(output, expected["output"])
    assert_close(x.grad, expected["grad_input"])


@pytest.mark.parametrize("source, offset", [("ones", "zero"), ("wave", "zero"), ("wave", "wave")])
def test_warp_with_the_authors_grid(source, offset):
    high = torch.ones(1, 1, 3, 4).double() if source == "ones" else wave((1, 1, 3, 4), 1, 0.7)
    moved = (
        torch.zeros(1, 2, 6, 8).double() if offset == "zero" else 2 * wave((1, 2, 6, 8), 0.5, 0.9)
    )
    warped = offset_warp(high, moved, align_grid=False, padding_mode="zeros")
    assert_close(warped, GOLDEN["warp"][f"{source}_{offset}_offset"])


def count(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("variant", VARIANTS)
def test_parameter_counts_are_the_published_ones(variant):
    channels = {2: 256, 3: 512, 4: 1024, 5: 2048}
    off = {"ppm": None, "srb": None, "crb": None}
    necks = {
        "fpn": build_neck(variant, channels, 256, bottom_up_path=False, **off),
        "pafpn": build_neck(variant, channels, 256, **off),
        "drfpn": build_neck(variant, channels, 256, authors_compat=True),
    }
    assert {name: count(neck) for name, neck in necks.items()} == GOLDEN["parameters"][variant]
    if variant == "rcnn":
        parts, neck = GOLDEN["parameters"]["rcnn_parts_of_drfpn"], necks["drfpn"]
        assert count(neck.srb2) == parts["srb (each)"]
        assert count(neck.crb3) == parts["crb (each)"]
        assert count(neck.ppm) == parts["ppm"]
