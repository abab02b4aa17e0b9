"""Disparity as colours."""

from __future__ import annotations

import numpy as np
import torch
from detectron2.data import Metadata

from drfpn_da.visualization import color_disparity, draw_disparity, draw_predictions


def test_near_is_bright_and_unknown_black():
    disparity = np.linspace(0, 1, 200).reshape(10, 20)
    disparity[0, 0] = np.inf
    colors = color_disparity(disparity)
    assert colors.shape == (10, 20, 3) and colors.dtype == np.uint8
    assert colors[-1, -1].sum() > colors[5, 0].sum() > colors[0, 1].sum()
    assert not colors[0, 0].any()
    # The unit does not matter.
    np.testing.assert_array_equal(color_disparity(disparity * 37), colors)


def test_constant_and_unknown_disparity_can_be_drawn():
    assert color_disparity(np.full((3, 4), 2.0)).shape == (3, 4, 3)
    assert not color_disparity(np.full((3, 4), np.nan)).any()


def test_predictions_of_depth_networks_are_drawn_beside_the_picture():
    image = np.zeros((40, 60, 3), np.uint8)
    drawn = draw_predictions(image, {"disparity": torch.rand(40, 60)}, Metadata())
    assert drawn.shape[1] > 120
    with_truth = draw_disparity(image, np.ones((40, 60)), np.ones((40, 60)))
    assert with_truth.shape[1] > drawn.shape[1]
