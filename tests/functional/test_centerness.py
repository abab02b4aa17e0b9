"""Centerness against published values, and how the slender one differs."""

from __future__ import annotations

import pytest
import torch

from drfpn_da.functional.centerness import centerness
from tests.golden_fill import published


def test_published_values():
    golden = published("slender")["centerness"]
    ltrb = torch.tensor(golden["ltrb"], dtype=torch.float64)
    for power in ("slender", "standard"):
        expected = torch.tensor(golden[power], dtype=torch.float64)
        torch.testing.assert_close(centerness(ltrb, power), expected, atol=1e-9, rtol=1e-7)


def test_square_boxes_are_left_alone():
    ltrb = torch.rand(50, 4) * 0.9 + 0.1
    ltrb[:, 2:] = 2 - ltrb[:, :2]
    torch.testing.assert_close(centerness(ltrb, "slender"), centerness(ltrb))


def test_grows_as_the_box_gets_slender():
    """A point at a quarter of both sides of ever flatter boxes."""
    height = torch.logspace(0, -6, 20)
    ltrb = torch.stack(
        [torch.full((20,), 0.25), height / 4, torch.full((20,), 0.75), height * 0.75], 1
    )
    values = centerness(ltrb, "slender")
    assert (values.diff() >= 0).all() and values[0] < 0.4 < 0.99 < values[-1] <= 1


def test_borders_lines_and_points_outside_are_finite():
    ltrb = torch.tensor([[0, 1, 2, 1], [0, 0, 0, 0], [1, 0, 1, 0], [-3, 1, 5, 1], [1, -1, 1, 1.0]])
    for power in ("standard", "slender", 0.3):
        assert centerness(ltrb, power).tolist() == [0, 0, 0, 0, 0]


def test_own_power_and_unknown_words():
    ltrb = torch.tensor([[1.0, 1, 3, 1]])
    assert centerness(ltrb, 1.0).item() == pytest.approx(1 / 3)
    for power in ("thin", 0.0, -1.0):
        with pytest.raises(ValueError, match="use 'standard', 'slender' or a positive number"):
            centerness(ltrb, power)
