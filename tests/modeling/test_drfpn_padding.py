"""DRFPN beside a larger picture: what is averaged are the pictures, not the padding of a batch."""

from __future__ import annotations

import copy
import io
import pickle

import pytest
import torch
import torch.nn.functional as F
from detectron2.layers import ShapeSpec
from detectron2.modeling import build_model
from detectron2.structures import ImageList
from torch import nn

from drfpn_da.functional import pool_adaptive_average
from drfpn_da.functional.pooling import spread_nearest
from drfpn_da.layers import ChannelRefinementBlock, PyramidPooling
from drfpn_da.layers.masked import norm_on_pictures
from drfpn_da.modeling import DRFPN, DRFPNNeck
from drfpn_da.modeling.backbone.picture_sizes import noted_picture_sizes
from tests.modeling.test_drfpn import FEATURES, Body
from tests.tiny_detectors import make_inputs, tiny_config, total_loss

CELLS = [(5, 7), (9, 13), (1, 2)]


def randomise(module: nn.Module) -> nn.Module:
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)
    return module


def crops(x, cells):
    return [(one[None, :, :h, :w], h, w) for one, (h, w) in zip(x, cells)]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("bins", [1, 2, 3, 6])
def test_pools_and_spreads_are_those_of_each_picture(bins, layout):
    x = torch.randn(3, 4, 9, 13, dtype=torch.float64).to(memory_format=layout).requires_grad_()
    pooled = pool_adaptive_average(x, bins, CELLS)
    spread = spread_nearest(pooled, (9, 13), CELLS)
    for i, (own, h, w) in enumerate(crops(x, CELLS)):
        expected = F.adaptive_avg_pool2d(own, bins)
        torch.testing.assert_close(pooled[i : i + 1], expected)
        wide = F.interpolate(expected, size=(h, w), mode="nearest")
        torch.testing.assert_close(spread[i : i + 1, :, :h, :w], wide)
    pooled.sum().backward()
    inside = torch.zeros(3, 9, 13, dtype=torch.bool)
    for mask, (h, w) in zip(inside, CELLS):
        mask[:h, :w] = True
    assert torch.equal(x.grad.ne(0).all(1), inside)


def test_nearest_cells_are_those_of_torch():
    """Where a cell falls between two bins is a matter of float32."""
    for length in range(1, 200):
        for bins in (1, 2, 3, 6):
            x = torch.arange(float(bins)).expand(1, 1, bins, bins)
            expected = F.interpolate(x, size=(length, length), mode="nearest")
            found = spread_nearest(x, (length, length + 1), [(length, length)])
            assert torch.equal(found[..., :length], expected), (length, bins)


@pytest.mark.parametrize("norm", ["", "GN"])
def test_pyramid_pooling_ignores_what_lies_beside_a_picture(norm):
    block = randomise(PyramidPooling(16, 64, norm=norm)).double()
    x = torch.randn(3, 16, 9, 13, dtype=torch.float64)
    found = block(x, CELLS)
    for i, (own, h, w) in enumerate(crops(x, CELLS)):
        torch.testing.assert_close(found[i : i + 1, :, :h, :w], block(own))


def test_a_picture_of_one_cell_is_normalised_too():
    norm = nn.GroupNorm(32, 32)
    nn.init.ones_(norm.bias)
    found = norm_on_pictures(norm, torch.randn(2, 32, 2, 3), [(1, 1), (2, 3)])
    assert found[0, :, 0, 0].allclose(torch.ones(32), atol=1e-2) and not found[0, :, 1].any()


def test_channel_refinement_ignores_what_lies_beside_a_picture():
    block = randomise(ChannelRefinementBlock(32)).double()
    cells = [(5, 7), (2, 3), (9, 13)]
    finer = torch.randn(3, 32, 18, 26, dtype=torch.float64)
    x, down = torch.randn(2, 3, 32, 9, 13, dtype=torch.float64)
    # Zeros beside it, which the 3x3 convolution then sees in both cases.
    for one, (h, w) in zip(x, cells):
        one[:, h:], one[:, :, w:] = 0, 0
    twice = [(2 * h, 2 * w) for h, w in cells]
    found = block(finer, x, down, twice, cells)
    for i, (h, w) in enumerate(cells):
        alone = (finer[i : i + 1, :, : 2 * h, : 2 * w], x[i : i + 1, :, :h, :w])
        expected = block(*alone, down[i : i + 1, :, :h, :w])
        torch.testing.assert_close(found[i : i + 1, :, :h, :w], expected)


def build(**options) -> DRFPN:
    torch.manual_seed(0)
    return DRFPN(Body(), FEATURES, 64, init="c2_xavier", **options).eval()


def largest_change(model: DRFPN, known: bool) -> float:
    """Of the left half of a picture, by a batch that is twice as wide."""
    x = torch.randn(1, 3, 512, 512)
    wide = F.pad(x, (0, 512))
    images = ImageList(wide, [(512, 512)])
    with torch.no_grad():
        alone, beside = model(x), model(images.tensor if known else wide.clone())
    changes = []
    for level in ("p2", "p3", "p4", "p5"):
        half = alone[level].shape[-1] // 2
        one, other = alone[level][..., :half], beside[level][..., :half]
        changes.append(float((one - other).abs().mean() / one.abs().mean()))
    return max(changes)


def test_a_wider_neighbour_changes_a_picture_no_more_than_in_fpn():
    model = build()
    assert largest_change(model, known=False) > 0.1
    assert largest_change(model, known=True) < 0.03
    plain = build(ppm=None, srb=None, crb=None, bottom_up_path=False)
    assert largest_change(plain, known=True) < 0.01
    authors = build(authors_compat=True)
    images = ImageList(torch.randn(1, 3, 64, 128), [(64, 64)])
    assert torch.equal(authors(images.tensor)["p4"], authors(images.tensor.clone())["p4"])


def test_without_padding_it_is_the_same_to_the_bit():
    model = build()
    x = torch.randn(2, 3, 64, 96)
    expected, found = model(x), model(ImageList(x.clone(), [(64, 96), (62, 95)]).tensor)
    # Less than a cell of any level is missing.
    assert noted_picture_sizes(x) is None
    assert all(torch.equal(found[name], y) for name, y in expected.items())


@pytest.mark.parametrize("kind", ["faster_rcnn", "retinanet", "fcos", "panoptic_fpn", "sem_seg"])
def test_every_detector_tells_the_sizes_of_its_pictures(kind):
    model = build_model(tiny_config(kind))
    told = []
    model.backbone.ppm.register_forward_pre_hook(lambda module, inputs: told.append(inputs[1]))
    inputs = [*make_inputs(1, size=(64, 96)), *make_inputs(1, size=(128, 64))]
    total_loss(model.train(), inputs)
    # 128 x 96 pixels in all.
    assert told.pop() == [(2, 3), (4, 2)] and not told
    with torch.no_grad():
        model.eval()(inputs[:1])
        model.backbone(torch.zeros(1, 3, 64, 96))
    assert told == [None, None]


def test_copies_know_the_sizes_too():
    model = build()
    images = ImageList(torch.randn(1, 3, 64, 128), [(64, 64)])
    expected = model(images.tensor)["p5"]
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    loaded = torch.load(file, weights_only=False)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), loaded):
        assert torch.equal(other(images.tensor)["p5"], expected)
    assert not torch.equal(model(images.tensor.clone())["p5"], expected)


def test_noted_sizes_follow_to_another_type_and_survive_scripting():
    build()
    images = ImageList.from_tensors([torch.rand(3, 20, 30), torch.rand(3, 40, 10)], 32)
    assert noted_picture_sizes(images.to(torch.float64).tensor) == [(20, 30), (40, 10)]

    def batch(x: torch.Tensor) -> torch.Tensor:
        return ImageList.from_tensors([x, x], 32).tensor

    scripted = torch.jit.script(batch)
    assert scripted(torch.rand(3, 20, 30)).shape == (2, 3, 32, 32)


def test_a_traced_pyramid_has_the_sizes_of_its_example():
    model = build()

    class Whole(nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone = model

        def forward(self, image):
            images = ImageList.from_tensors([image], model.size_divisibility)
            return self.backbone(images.tensor)["p4"]

    whole = Whole()
    traced = torch.jit.trace(whole, torch.randn(3, 70, 100), strict=False)
    other = torch.randn(3, 70, 100)
    torch.testing.assert_close(traced(other), whole(other), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(whole(other), model(F.pad(other[None], (0, 28, 0, 26)))["p4"])


def test_half_precision_stays_close():
    shapes = {f"res{k}": ShapeSpec(channels=8, stride=2**k) for k in range(2, 6)}
    neck = DRFPNNeck(shapes, FEATURES, 32, init="c2_xavier")
    maps = {f"res{k}": torch.randn(2, 8, 2 ** (8 - k), 2 ** (7 - k)) for k in range(2, 6)}
    sizes = [(256, 90), (100, 128)]
    exact = neck(maps, sizes)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = neck(maps, sizes)
    for name, y in exact.items():
        assert (low[name].float() - y).abs().mean() < 0.05 * y.abs().mean()
    sum(y.float().square().mean() for y in low.values()).backward()
    assert all(p.grad.isfinite().all() for p in neck.parameters())
