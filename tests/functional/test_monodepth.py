"""Self-supervised depth: published numbers, geometry known beforehand, gradients."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from drfpn_da.functional import (
    back_project,
    disparity_to_depth,
    edge_aware_smoothness,
    feature_distance,
    minimum_reprojection,
    normalize_by_mean,
    photometric_error,
    pose_matrix,
    project,
    ssim_distance,
    synthesize,
)
from tests.golden_fill import assert_close, cosine_sum, published, wave

GOLDEN = published("three_ways_depth")["depth"]
SHAPE = (2, 3, 8, 10)


def image(phase):
    return 0.5 + 0.45 * wave(SHAPE, phase, 0.31)


def disparity(shape=(2, 1, 8, 10), phase=0.7):
    return 0.04 + 0.03 * wave(shape, phase, 0.53)


def intrinsics(count=2):
    k = torch.tensor([[5.8, 0, 4.5], [0, 7.2, 3.5], [0, 0, 1]], dtype=torch.float64)
    return k.expand(count, 3, 3)


def pose_parameters():
    scale = torch.tensor([[1.0], [1.5]], dtype=torch.float64)
    axis_angle = torch.tensor([[0.02, -0.03, 0.01]], dtype=torch.float64) * scale
    translation = torch.tensor([[0.05, -0.02, 0.1]], dtype=torch.float64) * scale
    return axis_angle.requires_grad_(), translation.requires_grad_()


def poses(axis_angle, translation):
    return [
        pose_matrix(axis_angle, translation, invert=True),
        pose_matrix(-0.8 * axis_angle, -0.8 * translation),
    ]


def assert_entries(actual, entries):
    flat = actual.detach().flatten()
    for index, value in entries.items():
        assert float(flat[int(index)]) == pytest.approx(value, abs=1e-8)


def test_disparity_and_depth():
    golden = GOLDEN["disp_to_depth"]
    assert_close(disparity_to_depth(torch.tensor(golden["d"]).double()), golden["depth"])
    depth = disparity_to_depth(disparity())
    assert_close(depth.mean(), golden["map_mean"])


def test_pose_matrices_are_the_published_ones():
    first, second = poses(*pose_parameters())
    assert_close(first, GOLDEN["pose"]["-1"])
    assert_close(second, GOLDEN["pose"]["+1"])


def test_pose_inverse_and_rotation():
    axis_angle, translation = torch.randn(5, 3).double(), torch.randn(5, 3).double()
    forth, back = (pose_matrix(axis_angle, translation, invert) for invert in (False, True))
    # The published epsilon makes lengths of axes wrong by 1e-7.
    torch.testing.assert_close(
        forth @ back, torch.eye(4).double().expand(5, 4, 4), atol=1e-6, rtol=0
    )
    quarter = pose_matrix(torch.tensor([[0, 0, math.pi / 2]]), torch.zeros(1, 3))
    turned = quarter[0, :3, :3] @ torch.tensor([1.0, 0, 0])
    torch.testing.assert_close(turned, torch.tensor([0.0, 1, 0]), atol=1e-6, rtol=0)


def test_no_rotation_has_a_finite_gradient():
    axis_angle = torch.zeros(1, 3, requires_grad=True)
    pose_matrix(axis_angle, torch.zeros(1, 3)).sum().backward()
    assert axis_angle.grad.isfinite().all()


def test_projection_is_the_published_one():
    golden = GOLDEN["projection"]
    points = back_project(disparity_to_depth(disparity()), intrinsics())
    homogeneous = torch.cat([points, torch.ones_like(points[:, :1])], 1)
    assert_entries(homogeneous, golden["points_entries"])
    assert_close(cosine_sum(homogeneous), golden["points_cosine_sum"], rtol=1e-6)
    pose = poses(*pose_parameters())[0]
    grid = project(points, intrinsics(), pose)
    assert_entries(grid, golden["grid(-1)_entries"])
    assert_close(cosine_sum(grid), golden["grid(-1)_cosine_sum"], rtol=1e-6)
    warped = synthesize(image(1.0), disparity_to_depth(disparity()), intrinsics(), pose)
    name = "warp_of_image(1.0)_with_grid(-1)"
    assert_entries(warped, golden[name]["entries"])
    assert_close(cosine_sum(warped), golden[name]["cosine_sum"], rtol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_motion_warps_nothing(dtype):
    eye = torch.eye(4, dtype=dtype).expand(2, 4, 4)
    depth = torch.full((2, 1, 8, 10), 7.0, dtype=dtype)
    source = image(1.0).to(dtype)
    warped = synthesize(source, depth, intrinsics().to(dtype), eye)
    torch.testing.assert_close(warped, source, atol=2e-6, rtol=0)


def test_rotation_moves_pixels_by_the_homography_whatever_the_depth():
    pose = pose_matrix(torch.tensor([[0.03, -0.05, 0.02]]).double(), torch.zeros(1, 3).double())
    k = intrinsics(1)
    homography = k @ pose[:, :3, :3] @ k.inverse()
    y, x = torch.meshgrid(torch.arange(8.0), torch.arange(10.0), indexing="ij")
    pixels = torch.stack([x, y, torch.ones_like(x)]).flatten(1).double()
    moved = (homography @ pixels)[0]
    expected = (moved[:2] / moved[2:]).T.reshape(8, 10, 2)
    expected = expected / torch.tensor([9.0, 7.0]) * 2 - 1
    for depth in (torch.full((1, 1, 8, 10), 2.0).double(), 1 + torch.rand(1, 1, 8, 10).double()):
        grid = project(back_project(depth, k), k, pose)
        torch.testing.assert_close(grid[0], expected, atol=1e-6, rtol=0)


def test_photometric_error_is_the_published_one():
    golden = GOLDEN["photometric"]
    prediction = image(0.2).requires_grad_()
    target = 0.5 + 0.45 * wave(SHAPE, 0.9, 0.37)
    structural = ssim_distance(prediction, target)
    assert_close(structural.mean(), golden["ssim_term_mean"])
    assert_entries(structural, golden["ssim_term_entries"])
    error = photometric_error(prediction, target)
    assert_close(error.mean(), golden["loss_map_mean"])
    assert_close(error[0, 0], golden["loss_map_image0"])
    (gradient,) = torch.autograd.grad(error.mean(), prediction)
    assert_close(gradient.norm(), golden["grad_of_mean_norm"])
    assert_entries(gradient, golden["grad_entries"])
    assert float(photometric_error(target, target).abs().max()) == golden["same_image"]


def test_smoothness_is_the_published_one():
    golden = GOLDEN["smoothness"]
    d = disparity().requires_grad_()
    loss = edge_aware_smoothness(normalize_by_mean(d), image(0.2))
    assert_close(loss, golden["loss"])
    assert_close(edge_aware_smoothness(d, image(0.2)), golden["unnormalised_disp_loss"])
    (gradient,) = torch.autograd.grad(loss, d)
    assert_close(gradient.norm(), golden["grad_norm"])
    assert_entries(gradient, golden["grad_entries"])
    assert float(edge_aware_smoothness(torch.ones(1, 1, 4, 4), torch.rand(1, 3, 4, 4))) == 0


def two_scale_loss(d0, d1, axis_angle, translation, mask):
    target, sources = image(0.2), [image(0.5), image(-0.1)]
    identity = [photometric_error(source, target) for source in sources] if mask else []
    losses, moving = [], []
    for scale, d in enumerate((d0, d1)):
        full = F.interpolate(d, target.shape[-2:], mode="bilinear", align_corners=False)
        depth = disparity_to_depth(full)
        warped = [
            photometric_error(synthesize(source, depth, intrinsics(), pose), target)
            for source, pose in zip(sources, poses(axis_angle, translation))
        ]
        error, moves = minimum_reprojection(warped, identity)
        small = F.avg_pool2d(target, 2**scale)
        smooth = edge_aware_smoothness(normalize_by_mean(d), small)
        losses.append(error.mean() + 1e-3 / 2**scale * smooth)
        moving.append(moves)
    return losses, moving


@pytest.mark.parametrize("name", ["automask", "no_automask"])
def test_whole_loss_is_the_published_one(name):
    golden = GOLDEN["full_loss"][name]
    leaves = [disparity(), disparity((2, 1, 4, 5), 1.1)]
    leaves = [leaf.requires_grad_() for leaf in leaves] + list(pose_parameters())
    losses, moving = two_scale_loss(*leaves, mask=name == "automask")
    assert_close(losses[0], golden["loss_scale0"])
    assert_close(losses[1], golden["loss_scale1"])
    gradients = torch.autograd.grad(sum(losses) / 2, leaves)
    assert_close(gradients[0].norm(), golden["grad_disp0_norm"], atol=1e-8)
    assert_entries(gradients[0], golden["grad_disp0_entries"])
    assert_close(gradients[1].norm(), golden["grad_disp1_norm"], atol=1e-8)
    assert_close(gradients[2], golden["grad_axisangle"], atol=1e-8)
    assert_close(gradients[3], golden["grad_translation"], atol=1e-8)
    if name == "automask":
        share = moving[0].double().mean()
        assert_close(share, golden["share_of_pixels_not_identity_scale0"])


def test_static_pair_is_masked_everywhere():
    target = image(0.2)
    error = photometric_error(target, target)
    generator = torch.Generator().manual_seed(0)
    warped = [photometric_error(image(0.4), target)]
    _, moving = minimum_reprojection(warped, [error, error], generator)
    assert not moving.any()
    # Ties go to the identity, so that a camera at rest leaves no holes.
    assert not minimum_reprojection([error], [error])[1].any()


def test_tie_noise_comes_from_its_own_generator():
    errors = [torch.rand(1, 1, 4, 4)]
    before = torch.get_rng_state()
    first = minimum_reprojection(errors, errors, torch.Generator().manual_seed(1))[0]
    second = minimum_reprojection(errors, errors, torch.Generator().manual_seed(1))[0]
    assert torch.equal(first, second) and torch.equal(torch.get_rng_state(), before)
    assert (first - errors[0]).abs().max() < 1e-4


def test_gradients_are_those_of_finite_differences():
    generator = torch.Generator().manual_seed(3)
    target, source = (torch.rand(1, 2, 6, 8, generator=generator).double() for _ in range(2))
    k = torch.tensor([[[5.0, 0, 3.5], [0, 5.0, 2.5], [0, 0, 1]]], dtype=torch.float64)

    def loss(d, axis_angle, translation):
        pose = pose_matrix(axis_angle, translation)
        warped = synthesize(source, disparity_to_depth(d), k, pose)
        smooth = edge_aware_smoothness(normalize_by_mean(d), target)
        return photometric_error(warped, target).mean() + smooth

    d = (0.1 + 0.2 * torch.rand(1, 1, 6, 8, generator=generator)).double().requires_grad_()
    axis_angle = torch.tensor([[0.02, -0.03, 0.01]]).double().requires_grad_()
    translation = torch.tensor([[0.05, -0.02, 0.1]]).double().requires_grad_()
    torch.autograd.gradcheck(loss, (d, axis_angle, translation), eps=1e-7, atol=1e-5)


def test_feature_distance_is_a_norm_of_the_whole_tensor():
    features = torch.zeros(2, 3, 4, 4, requires_grad=True)
    distance = feature_distance(features, torch.ones(2, 3, 4, 4))
    assert float(distance.detach()) == pytest.approx(96**0.5)
    feature_distance(features, features.detach()).backward()
    assert not features.grad.any()
