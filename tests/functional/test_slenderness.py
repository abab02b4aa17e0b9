"""Slenderness against published values, a second computation, and what must leave it alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from drfpn_da.functional.slenderness import (
    slenderness_from_masks,
    slenderness_from_points,
    slenderness_from_polygons,
    slenderness_from_sides,
)
from tests.golden_fill import published

# Where the published code takes the axis-aligned box of a line.
DEGENERATE = {"two distinct points", "collinear diagonal"}


def of_polygon(points):
    return slenderness_from_polygons([[np.ravel(points).tolist()]]).item()


def brute_force(points, tie=1e-6):
    """Every direction between two points, every point projected: no hull, no shared code."""
    points = np.asarray(points, dtype=float)
    found = []
    for i in range(len(points)):
        for j in range(i):
            direction = points[i] - points[j]
            if not direction.any():
                continue
            direction /= math.hypot(*direction)
            sides = [np.ptp(points @ axis) for axis in (direction, [-direction[1], direction[0]])]
            found.append((sides[0] * sides[1], min(sides) / max(sides)))
    smallest = min(area for area, _ in found)
    return min(s for area, s in found if area <= smallest * (1 + tie))


def rotated(points, degrees):
    angle = math.radians(degrees)
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    return np.asarray(points, dtype=float) @ turn


def test_published_values():
    golden = published("slender")["slenderness"]
    shapes = {name: shape for name, shape in golden.items() if isinstance(shape, dict)}
    assert len(shapes) > 15
    values = slenderness_from_polygons([shape["polygons"] for shape in shapes.values()])
    for (name, shape), value in zip(shapes.items(), values.tolist()):
        expected = 0.0 if name in DEGENERATE else shape["s"]
        assert value == pytest.approx(expected, abs=golden["tolerance"]), name


@pytest.mark.parametrize("seed", range(40))
def test_random_shapes_against_brute_force(seed):
    rng = np.random.default_rng(seed)
    points = rng.normal(0, 30, (rng.integers(3, 12), 2)) * rng.uniform(0.05, 1, 2)
    if seed % 3 == 0:
        points = points.round()  # collinear and repeated points, equal areas
    assert of_polygon(points) == pytest.approx(brute_force(points), rel=1e-9, abs=1e-12)


def test_rotation_changes_nothing():
    rectangle = [[0, 0], [10, 0], [10, 100], [0, 100]]
    for degrees in np.linspace(0, 90, 31):
        assert of_polygon(rotated(rectangle, degrees)) == pytest.approx(0.1, abs=1e-9)


def test_of_equally_small_rectangles_the_most_slender_counts():
    # An acute triangle has one of the same area on each side: sides 13, 14, 15, height 12 on 14.
    triangle = np.array([[0, 0], [14, 0], [5, 12.0]])
    candidates = [168 / side**2 for side in (13, 14, 15)]
    expected = min(min(s, 1 / s) for s in candidates)
    for degrees in (0, 17, 90, 203):
        assert of_polygon(rotated(triangle, degrees)) == pytest.approx(expected, rel=1e-9)


def test_lines_and_points_are_zero_at_any_angle():
    for degrees in (0, 31, 45, 90):
        assert of_polygon(rotated([[0, 0], [30, 0], [10, 0]], degrees)) < 1e-12
    assert of_polygon([[5, 5]] * 3) == 0


def test_parts_are_measured_together_and_unusable_ones_left_out():
    one, two = [0, 0, 10, 0, 10, 10, 0, 10], [90, 0, 100, 0, 100, 10, 90, 10]
    values = slenderness_from_polygons([[one, two], [one, [50, 50, 60, 60]], [[1, 2, 3]], []])
    assert values[:2].tolist() == [0.1, 1.0] and values[2:].isnan().all()


def test_exact_edges():
    """Squares of the bins' edges give exactly 1/5 and 1/3, wherever they lie."""
    for short, long, expected in ((20, 100, 1 / 5), (20, 60, 1 / 3)):
        x, y = 7, 13
        polygon = [x, y, x + short, y, x + short, y + long, x, y + long]
        assert slenderness_from_polygons([[polygon]]).item() == expected
        mask = torch.zeros(1, 130, 130, dtype=torch.bool)
        mask[:, y : y + short, x : x + long] = True
        assert slenderness_from_masks(mask).item() == expected


def test_boxes():
    boxes = torch.tensor([[0, 0, 10, 100], [5, 5, 105, 15.0], [1, 1, 1, 9], [3, 3, 2, 9]])
    assert slenderness_from_sides(boxes[:, 2:] - boxes[:, :2]).tolist() == [0.1, 0.1, 0, 0]


def test_masks_are_unions_of_pixels():
    generator = torch.Generator().manual_seed(3)
    masks = torch.rand(20, 9, 12, generator=generator) < torch.rand(20, 1, 1, generator=generator)
    masks[0] = False
    masks[1] = False
    masks[1, 4, 5] = True
    values = slenderness_from_masks(masks)
    assert values[0].isnan() and values[1] == 1
    for mask, value in zip(masks[2:], values[2:]):
        pixels = mask.nonzero().flip(1)
        corners = torch.cat([pixels + torch.tensor(d) for d in ((0, 0), (0, 1), (1, 0), (1, 1))])
        assert value.item() == pytest.approx(brute_force(corners.unique(dim=0)), rel=1e-9)
    torch.testing.assert_close(
        values, slenderness_from_masks([mask.mT for mask in masks]), equal_nan=True
    )


def test_sets_do_not_touch_one_another():
    generator = torch.Generator().manual_seed(0)
    sizes = torch.randint(0, 40, (60,), generator=generator)
    points = torch.randn(int(sizes.sum()), 2, generator=generator, dtype=torch.float64)
    together = slenderness_from_points(points, sizes)
    alone = [
        slenderness_from_points(p, torch.tensor([len(p)])) for p in points.split(sizes.tolist())
    ]
    torch.testing.assert_close(together, torch.cat(alone), rtol=0, atol=0, equal_nan=True)
    assert together[sizes == 0].isnan().all() and not together[sizes > 0].isnan().any()


@pytest.mark.gpu
def test_same_on_a_gpu():
    generator = torch.Generator().manual_seed(0)
    masks = torch.rand(30, 40, 50, generator=generator) < 0.01
    torch.testing.assert_close(
        slenderness_from_masks(masks.cuda()).cpu(), slenderness_from_masks(masks), equal_nan=True
    )
