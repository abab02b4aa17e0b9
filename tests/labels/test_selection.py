"""Selection of pictures to annotate: seeds, cycles, nesting, refusals."""

from __future__ import annotations

import pytest
import torch

from drfpn_da.functional import LazyDistances, pairwise_distances
from drfpn_da.labels import (
    Selection,
    check_budgets,
    random_order,
    select_by_score,
    select_diverse,
    select_in_cycles,
    selection,
    uncertainty_bias,
)
from drfpn_da.labels.selection import PUBLISHED_WEIGHT


@pytest.fixture
def distances():
    return pairwise_distances(torch.rand(30, 4, dtype=torch.float64))


@pytest.mark.parametrize("seed, first", [(42, 2403), (43, 938), (44, 1436)])
def test_published_seeds(seed, first):
    assert random_order(2975, seed)[0] == first


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_seeds_out_of_range_are_named(seed):
    with pytest.raises(ValueError, match=rf"seed of a selection is {seed}; .* 4294967295\]"):
        random_order(10, seed)


def test_diversity_is_nested_and_starts_at_the_seed(distances):
    small, large = (select_diverse(distances, budget, 42) for budget in (6, 20))
    assert large[:6] == small and small[0] == random_order(30, 42)[0]
    assert len(set(large)) == 20


def test_cycles_ask_for_uncertainty_after_the_first(distances):
    asked = []

    def uncertainty(selected):
        asked.append(list(selected))
        return torch.arange(30.0)

    order = select_in_cycles(distances, [5, 10, 20], 0, uncertainty, weight=0.5)
    assert order[:5] == select_diverse(distances, 5, 0)
    assert asked == [order[:5], order[:10]]
    again = select_in_cycles(distances, [10, 20], 0, uncertainty, 0.5, start=order[:5])
    assert again == order


def test_limits_of_the_weight(distances):
    scores = torch.rand(30)
    none = select_in_cycles(distances, [5, 15], 1, lambda _: scores, weight=0.0)
    assert none == select_diverse(distances, 15, 1)
    only = select_in_cycles(distances, [5, 15], 1, lambda _: scores, weight=1e6)
    left = [i for i in scores.argsort(descending=True).tolist() if i not in only[:5]]
    assert only[5:] == left[:10]


def test_weight_is_relative_to_the_scale_of_distances(distances):
    scores = torch.rand(30)
    relative = select_in_cycles(distances, [5, 15], 1, lambda _: scores)
    assert select_in_cycles(distances * 50, [5, 15], 1, lambda _: scores * 0.01) == relative
    bias = uncertainty_bias(distances, scores, [0], PUBLISHED_WEIGHT, absolute=True)
    assert torch.equal(bias[1:], scores[1:].double() * 1000) and bias[0] == 0


def test_median_uncertainty_gets_the_median_distance(distances):
    scores = torch.linspace(1, 2, 30, dtype=torch.float64)
    bias = uncertainty_bias(distances, scores, [4])
    left = [i for i in range(30) if i != 4]
    between = torch.stack([distances[i, j] for i in left for j in left if i != j])
    assert float(bias[left].median()) == pytest.approx(float(between.median()))
    # Where nothing is uncertain, there is no bias.
    assert not uncertainty_bias(distances, torch.zeros(30), [4]).any()


def test_scores_alone_start_at_random_and_go_on_with_the_highest():
    scores = torch.arange(20.0) % 7
    order = select_by_score(20, [4, 8], 3, lambda _: scores)
    assert order[:4] == random_order(20, 3)[:4]
    left = sorted((i for i in range(20) if i not in order[:4]), key=lambda i: (-scores[i], i))
    assert order[4:] == left[:4]


def test_bad_budgets_and_scores_are_named(distances):
    with pytest.raises(ValueError, match="31 pictures is larger than the pool of 30"):
        select_diverse(distances, 31, 0)
    with pytest.raises(ValueError, match="must ascend"):
        check_budgets([10, 10], 30)
    with pytest.raises(ValueError, match="shape"):
        select_in_cycles(distances, [2, 3], 0, lambda _: torch.zeros(4))
    scores = torch.zeros(30)
    scores[17] = float("nan")
    with pytest.raises(ValueError, match="picture 17"):
        select_by_score(30, [2, 3], 0, lambda _: scores)


def test_duplicates_end_the_list_with_a_warning(caplog):
    same = pairwise_distances(torch.tensor([[0.0], [1.0], [0.0], [1.0]]))
    assert len(select_diverse(same, 4, 0)) == 2
    assert "Only 2 of 4" in caplog.text


def test_file(tmp_path):
    selection = Selection("diversity", 42, [1, 2], ["b.png", "a.png"], [1, 0], 5)
    selection.save(tmp_path / "s.json")
    assert Selection.load(tmp_path / "s.json") == selection
    assert selection.budget(1) == ["b.png"]
    with pytest.raises(ValueError, match="2 pictures were selected"):
        selection.budget(3)
    (tmp_path / "s.json").write_text("{}")
    with pytest.raises(ValueError, match=r"s\.json is no list"):
        Selection.load(tmp_path / "s.json")


def test_large_pools_need_no_matrix_of_all_pairs(monkeypatch):
    vectors, scores = torch.randn(200, 6), torch.rand(200)
    whole, lazy = pairwise_distances(vectors), LazyDistances(vectors)
    exact = uncertainty_bias(whole, scores, [4])
    assert torch.equal(uncertainty_bias(lazy, scores, [4]), exact)
    asked = []
    among = LazyDistances.among
    monkeypatch.setattr(LazyDistances, "among", lambda s, i: (asked.append(len(i)), among(s, i))[1])
    monkeypatch.setattr(selection, "MAX_PAIRED", 50)
    torch.testing.assert_close(uncertainty_bias(lazy, scores, [4]), exact, rtol=0.1, atol=0)
    assert asked == [50]
