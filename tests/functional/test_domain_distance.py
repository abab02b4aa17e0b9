"""Proxy A-distance and principal components against what is known beforehand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from drfpn_da.functional import principal_components, proxy_a_distance


def test_separable_domains_are_two_apart():
    source, target = torch.randn(30, 5), torch.randn(30, 5) + 40
    assert proxy_a_distance(source, target).tolist() == [2.0] * 10


def test_equal_distributions_are_close_to_nothing_apart():
    distances = proxy_a_distance(torch.randn(400, 8), torch.randn(300, 8), splits=20)
    assert abs(float(distances.mean())) < 0.15
    constant = proxy_a_distance(torch.ones(8, 3), torch.ones(8, 3))
    assert constant.tolist() == [0.0] * 10


def test_overlapping_gaussians_have_the_distance_of_their_best_threshold():
    """Two normal distributions one deviation apart: the best error is Phi(-1/2)."""
    source, target = torch.randn(4000, 1), torch.randn(4000, 1) + 1
    best_error = 0.5 * math.erfc(0.5 / math.sqrt(2))
    expected = 2 * (1 - 2 * best_error)
    assert float(proxy_a_distance(source, target).mean()) == pytest.approx(expected, abs=0.06)


def test_both_domains_count_the_same():
    """With three times the pictures, calling everything the larger domain must not pay."""
    few, many = torch.randn(1000, 1), torch.randn(3000, 1) + 1
    equal = proxy_a_distance(few, torch.randn(1000, 1) + 1).mean()
    assert float(proxy_a_distance(few, many).mean()) == pytest.approx(float(equal), abs=0.1)


def test_fewer_pictures_than_channels():
    """Shrinkage keeps the classifier defined: chance for equal domains, exact for a clear shift."""
    source, target = torch.randn(20, 512), torch.randn(20, 512)
    assert abs(float(proxy_a_distance(source, target, splits=30).mean())) < 0.5
    assert float(proxy_a_distance(source, target + 1).mean()) > 1.9


def test_scale_and_shift_of_channels_do_not_matter():
    source, target = torch.randn(40, 6), torch.randn(40, 6) + 0.7
    scale, shift = torch.tensor([1, 10, 1e3, 1e-3, 5, 0.1]), torch.arange(6) * 100.0
    plain = proxy_a_distance(source.double(), target.double())
    changed = proxy_a_distance(source.double() * scale + shift, target.double() * scale + shift)
    torch.testing.assert_close(changed, plain)


def test_splits_follow_the_seed():
    source, target = torch.randn(40, 4), torch.randn(40, 4) + 0.5
    first = proxy_a_distance(source, target, seed=1)
    assert torch.equal(first, proxy_a_distance(source, target, seed=1))
    assert not torch.equal(first, proxy_a_distance(source, target, seed=2))


def test_too_few_vectors_or_other_channels_are_refused():
    with pytest.raises(ValueError, match="at least four vectors"):
        proxy_a_distance(torch.zeros(3, 2), torch.zeros(9, 2))
    with pytest.raises(ValueError, match=r"equal channels; got \(9, 2\) and \(9, 3\)"):
        proxy_a_distance(torch.zeros(9, 2), torch.zeros(9, 3))


def test_principal_components_are_eigenvectors_of_the_covariance():
    x = torch.randn(50, 6, dtype=torch.float64) @ torch.randn(6, 6, dtype=torch.float64)
    projected = principal_components(x, 3).numpy()
    values = np.linalg.eigvalsh(np.cov(x.numpy().T, ddof=0))[::-1]
    np.testing.assert_allclose(np.cov(projected.T, ddof=0), np.diag(values[:3]), atol=1e-9)
    assert principal_components(torch.randn(9, 1)).shape == (9, 2)
