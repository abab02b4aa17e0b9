"""berHu, the logarithmic error and the depth metrics against published numbers and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from drfpn_da.functional import (
    DEPTH_METRICS,
    berhu_loss,
    depth_errors,
    log_disparity_error,
    median_scale,
)
from tests.golden_fill import assert_close, published, wave

GOLDEN = published("three_ways_depth")["berhu"]


@pytest.mark.parametrize("name", ["plain", "log"])
def test_berhu_is_the_published_one(name):
    prediction = (0.5 + 0.45 * wave((2, 1, 6, 8), 0.2, 0.37)).requires_grad_()
    target = 0.5 + 0.45 * wave((2, 1, 6, 8), 1.0, 0.41)
    mask = torch.ones_like(target)
    mask[:, :, -1] = 0
    pair = (prediction, target) if name == "plain" else (prediction.log1p(), target.log1p())
    loss = berhu_loss(*pair, mask)
    assert_close(loss, GOLDEN[name]["loss"])
    (gradient,) = torch.autograd.grad(loss, prediction)
    assert_close(gradient.norm(), GOLDEN[name]["grad_norm"])
    for index, value in GOLDEN[name]["grad_entries"].items():
        assert float(gradient.flatten()[int(index)]) == pytest.approx(value, abs=1e-9)


def test_berhu_of_a_perfect_prediction_is_zero_with_zero_gradient():
    prediction = torch.rand(1, 1, 3, 3, requires_grad=True)
    loss = berhu_loss(prediction, prediction.detach().clone())
    loss.backward()
    assert float(loss.detach()) == 0 and prediction.grad.isfinite().all()


def test_log_error_against_a_loop():
    prediction, target = torch.rand(2, 1, 3, 4), torch.rand(2, 1, 3, 4)
    mask = torch.ones(2, 1, 3, 4)
    mask[:, :, -1] = 0
    errors = log_disparity_error(prediction, target, mask)
    for i in range(2):
        total = 0.0
        for p, t in zip(prediction[i, 0, :2].flatten(), target[i, 0, :2].flatten()):
            total += abs(math.log(1 + float(p)) - math.log(1 + float(t)))
        assert float(errors[i]) == pytest.approx(total / 12, abs=1e-6)


def test_metrics_against_numpy():
    rng = np.random.default_rng(0)
    truth, prediction = rng.uniform(1, 60, 500), rng.uniform(1, 60, 500)
    found = depth_errors(torch.from_numpy(prediction), torch.from_numpy(truth))
    ratio = np.maximum(truth / prediction, prediction / truth)
    expected = [
        np.mean(np.abs(prediction - truth) / truth),
        np.mean((prediction - truth) ** 2 / truth),
        np.sqrt(np.mean((prediction - truth) ** 2)),
        np.sqrt(np.mean((np.log(prediction) - np.log(truth)) ** 2)),
        *(np.mean(ratio < 1.25**n) for n in (1, 2, 3)),
    ]
    assert list(found) == list(DEPTH_METRICS)
    np.testing.assert_allclose([float(v) for v in found.values()], expected, rtol=1e-9)


def test_scaled_truth_is_perfect_after_median_scaling():
    truth = torch.rand(101) + 0.5
    prediction = truth * 7
    errors = depth_errors(prediction * median_scale(prediction, truth), truth)
    assert float(errors["AbsRel"]) < 1e-6 and float(errors["delta1"]) == 1


def test_no_pixel_is_an_error():
    with pytest.raises(ValueError, match="at least one pixel"):
        depth_errors(torch.zeros(0), torch.zeros(0))
