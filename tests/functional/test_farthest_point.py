"""Farthest points: published order, the guarantee of the greedy rule, ties and duplicates."""

from __future__ import annotations

import itertools

import pytest
import torch

from drfpn_da.functional import (
    LazyDistances,
    farthest_points,
    pairwise_distances,
    standardize_features,
)
from tests.golden_fill import assert_close, published

GOLDEN = published("three_ways_depth")["selection"]


def golden_distances():
    i = torch.arange(48, dtype=torch.float64)
    rows = [torch.sin(0.05 * (j + 1) * (i + 1)) for j in range(40)]
    shift = 0.3 * torch.sin(1.7 * torch.arange(40, dtype=torch.float64))
    features = (torch.stack(rows) + shift[:, None]).view(40, 6, 2, 4)
    return pairwise_distances(standardize_features(features))


def golden_bias():
    bias = 4 * (0.5 + 0.5 * torch.sin(1.3 * torch.arange(40, dtype=torch.float64)))
    bias[7] = 0
    return bias


def test_distances_are_the_published_ones():
    distances = golden_distances()
    assert_close(distances.mean(), GOLDEN["plain"]["distance_mean"], atol=1e-6)
    assert_close(distances[0], GOLDEN["plain"]["distance_row0"], atol=1e-6)
    for index, value in GOLDEN["plain"]["distance_entries"].items():
        assert float(distances.flatten()[int(index)]) == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize("kind", ["plain", "bias"])
@pytest.mark.parametrize("start, count", [([7], 39), ([7], 60), ([0, 20], 15)])
def test_order_is_the_published_one(kind, start, count):
    golden = GOLDEN[kind][f"start={start} count={count}"]
    bias = golden_bias() if kind == "bias" else None
    order, radii = farthest_points(golden_distances(), start, count, bias)
    assert order == golden["order"]
    torch.testing.assert_close(torch.tensor(radii), torch.tensor(golden["radii"]))


@pytest.mark.parametrize("seed", range(4))
def test_radius_is_at_most_twice_the_best(seed):
    points = torch.rand(12, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    distances = pairwise_distances(points)

    def radius(centres):
        return float(distances[list(centres)].amin(0).amax())

    order, _ = farthest_points(distances, [0], 2)
    best = min(radius(centres) for centres in itertools.combinations(range(12), 3))
    assert radius([0, *order]) <= 2 * best


def test_prefixes_are_nested_and_nothing_is_chosen_twice():
    distances = golden_distances()
    long, radii = farthest_points(distances, [3], 39)
    assert farthest_points(distances, [3], 10)[0] == long[:10]
    assert sorted([3, *long]) == list(range(40))
    assert radii == sorted(radii, reverse=True)
    stepwise = farthest_points(distances, [3, *long[:10]], 5)[0]
    assert stepwise == long[10:15]


def test_ties_go_to_the_first_and_duplicates_end_it():
    distances = pairwise_distances(torch.tensor([[0.0], [1.0], [-1.0], [1.0], [0.0]]))
    assert farthest_points(distances, [0], 4)[0] == [1, 2]


def test_large_bias_selects_by_bias():
    bias = torch.rand(40, dtype=torch.float64) * 1000
    order, _ = farthest_points(golden_distances(), [0], 10, bias)
    ranked = [i for i in bias.argsort(descending=True).tolist() if i != 0]
    # Differences of 1000 / 40 exceed those of distances only mostly; the sets agree.
    assert len(set(order) & set(ranked[:10])) >= 9


def test_bad_input_is_named():
    distances = golden_distances()
    with pytest.raises(ValueError, match="indices from 0 to 39"):
        farthest_points(distances, [], 3)
    with pytest.raises(ValueError, match="indices from 0 to 39"):
        farthest_points(distances, [40], 3)
    with pytest.raises(ValueError, match="must not be negative"):
        farthest_points(distances, [0], 3, -golden_bias())


def test_constant_channel_counts_for_nothing():
    features = torch.rand(5, 2, 3, 3)
    features[:, 1] = 4.0
    flat = standardize_features(features)
    assert flat.isfinite().all() and not flat.view(5, 2, -1)[:, 1].any()


def test_lazy_distances_are_the_same_numbers():
    vectors = torch.randn(60, 37)
    vectors[7] = vectors[3]
    whole, lazy = pairwise_distances(vectors), LazyDistances(vectors)
    assert (len(lazy), lazy.shape, lazy.dtype) == (60, whole.shape, whole.dtype)
    assert all(torch.equal(lazy[i], whole[i]) for i in range(60))
    some = torch.tensor([3, 7, 9])
    assert torch.equal(lazy.among(some), whole[some][:, some])
    for bias in (None, torch.rand(60)):
        assert farthest_points(lazy, [5, 2], 59, bias) == farthest_points(whole, [5, 2], 59, bias)
