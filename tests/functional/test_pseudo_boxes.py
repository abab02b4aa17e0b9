"""Losses and thresholds of pseudo-labels, with numbers worked out by hand."""

import math

import pytest
import torch

from drfpn_da.functional.class_prior import entropy_regulariser, prior_regulariser
from drfpn_da.functional.pseudo_boxes import (
    class_thresholds,
    jitter_boxes,
    relative_spread,
    rows_where,
    soft_cross_entropy,
)


def test_soft_cross_entropy_by_hand():
    # Student (1/4, 3/4) and (1/2, 1/2).
    logits = torch.tensor([[0.0, math.log(3)], [2.0, 2.0]], requires_grad=True)
    target = torch.tensor([[0.6, 0.4], [0.0, 1.0]])
    loss = soft_cross_entropy(logits, target)
    by_hand = (0.6 * math.log(4) + 0.4 * math.log(4 / 3) + math.log(2)) / 2
    assert loss.item() == pytest.approx(by_hand, rel=1e-6)
    loss.backward()  # (p - q) / R
    expected = torch.tensor([[0.25 - 0.6, 0.75 - 0.4], [0.5, -0.5]]) / 2
    torch.testing.assert_close(logits.grad, expected)


def test_soft_cross_entropy_of_one_hot_targets_and_of_nothing():
    torch.manual_seed(0)
    logits, classes = torch.randn(7, 4), torch.tensor([0, 3, 3, 1, 2, 0, 1])
    target = torch.nn.functional.one_hot(classes, 4).float()
    hard = torch.nn.functional.cross_entropy(logits, classes)
    torch.testing.assert_close(soft_cross_entropy(logits, target), hard)
    assert soft_cross_entropy(logits.bfloat16(), target).dtype == torch.float32
    empty = torch.zeros(0, 4, requires_grad=True)
    soft_cross_entropy(empty, empty).backward()
    assert empty.grad.shape == (0, 4)
    with pytest.raises(ValueError, match=r"\(7, 4\), their soft labels \(6, 4\)"):
        soft_cross_entropy(logits, target[:6])


def test_class_thresholds_by_hand():
    confidence = torch.tensor([0.9, 0.45, 0.6, 0.0])
    seen = torch.tensor([True, True, True, False])
    thresholds = class_thresholds(confidence, seen, 0.8, 0.5)
    torch.testing.assert_close(thresholds, torch.tensor([0.8, 0.5, 0.8 * 2 / 3, 0.8]))
    none = class_thresholds(confidence, torch.zeros(4, dtype=torch.bool), 0.8, 0.5)
    assert none.eq(0.8).all()


def test_jitter_moves_each_side_by_its_share_and_no_other_generator():
    boxes = torch.tensor([[0.0, 0, 10, 100], [5, 5, 6, 7]])
    state = torch.get_rng_state()
    copies = jitter_boxes(boxes, 200, 0.06, torch.Generator().manual_seed(1))
    again = jitter_boxes(boxes, 200, 0.06, torch.Generator().manual_seed(1))
    assert torch.equal(state, torch.get_rng_state()) and torch.equal(copies, again)
    moves = (copies - boxes[:, None]).abs().amax(dim=1)
    most = 0.06 * torch.tensor([[10.0, 100, 10, 100], [1, 2, 1, 2]])
    assert (moves <= most * 1.0001).all() and (moves > 0.9 * most).all()


def test_relative_spread_by_hand():
    same = torch.tensor([[[0.0, 0, 10, 10]] * 3])
    # Left side at 0 and 2: deviation sqrt(2); mean box 9 x 10.
    moved = torch.tensor([[[0.0, 0, 10, 10], [2, 0, 10, 10]]])
    assert relative_spread(same).tolist() == [0]
    assert relative_spread(moved).item() == pytest.approx(math.sqrt(2) / 4 / 9.5)
    assert relative_spread(10 * moved).item() == pytest.approx(relative_spread(moved).item())
    assert relative_spread(moved[:0]).shape == (0,)


def test_regularisers_by_hand():
    prior = torch.tensor([0.5, 0.5])
    assert prior_regulariser(prior, prior) == 0
    value = prior_regulariser(torch.tensor([0.9, 0.1]), prior)
    assert value.item() == pytest.approx(0.5 * math.log(0.5 / 0.9) + 0.5 * math.log(5))
    assert prior_regulariser(torch.tensor([1.0, 0.0]), prior).isfinite()
    logits = torch.tensor([[0.0, 0.0], [0.0, math.log(3)]])
    by_hand = (math.log(2) + 0.25 * math.log(4) + 0.75 * math.log(4 / 3)) / 2
    assert entropy_regulariser(logits).item() == pytest.approx(by_hand)


def test_rows_of_masks():
    masks = [torch.tensor([0, 1, 0, 1, 1]), torch.tensor([0, 0]), torch.tensor([]), torch.ones(3)]
    rows = rows_where([mask.bool() for mask in masks])
    assert [x.tolist() for x in rows] == [[1, 3, 4], [], [], [0, 1, 2]]
