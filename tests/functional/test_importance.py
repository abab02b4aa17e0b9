"""Importance weights and rank regularisation against the published step, loops and differences."""

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck

from drfpn_da.functional import (
    mean_by_group,
    rank_regularisation,
    split_by_importance,
)
from drfpn_da.functional.importance import group_means, importance_means, rank_of_means
from tests.golden_fill import published
from tests.published_relabelling import relabel_by_margin

GOLDEN = published("scn")
BETA, K = 0.7, 7
BATCHES = [key for key in GOLDEN if key.startswith("N=")]


def published_inputs(count, spread):
    """Importances, logits and labels by the formulas of the golden file."""
    i = torch.arange(count, dtype=torch.float64)
    alpha = 0.6 + {"wide": 0.35, "narrow": 0.05}[spread] * torch.sin(0.7 * i + 1.1)
    logits = 6 * torch.sin(1.7 * torch.arange(count * K, dtype=torch.float64) + 0.3).view(-1, K)
    labels = torch.tensor([(3 * n + n // 5) % 7 for n in range(count)])
    return alpha.requires_grad_(), logits.requires_grad_(), labels


@pytest.mark.parametrize("margin", [0.15, 0.07, 0.9])
@pytest.mark.parametrize("batch", BATCHES)
def test_losses_and_gradients_are_those_published(batch, margin):
    size, spread = batch.split()
    alpha, logits, labels = published_inputs(int(size[2:]), spread)
    expected = GOLDEN[batch][f"margin_1={margin}"]
    assert labels.tolist() == GOLDEN[batch]["labels"]
    rank = rank_regularisation(alpha, BETA, margin)
    entropy = F.cross_entropy(alpha[:, None] * logits, labels)
    assert rank.item() == pytest.approx(expected["rr"], abs=1e-12)
    assert entropy.item() == pytest.approx(expected["ce"], abs=1e-12)
    (rank + entropy).backward()
    torch.testing.assert_close(alpha.grad.tolist(), expected["grad_alpha"], atol=1e-12, rtol=0)
    assert logits.grad.norm().item() == pytest.approx(expected["grad_logits_norm"], abs=1e-12)
    flat = logits.grad.flatten()
    for at, value in expected["grad_logits_entries"].items():
        assert flat[int(at)].item() == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("batch", BATCHES)
def test_groups_and_relabelling_are_those_published(batch):
    size, spread = batch.split()
    alpha, logits, labels = published_inputs(int(size[2:]), spread)
    golden = next(v for v in (GOLDEN[batch], GOLDEN[batch]["margin_1=0.15"]) if "low_group" in v)
    high, low = split_by_importance(alpha, BETA)
    assert low.tolist() == golden["low_group"]
    assert sorted([*high.tolist(), *low.tolist()]) == list(range(len(alpha)))
    assert alpha[high].mean().item() == pytest.approx(golden["mean_alpha_high"], abs=1e-12)
    assert alpha[low].mean().item() == pytest.approx(golden["mean_alpha_low"], abs=1e-12)
    probabilities = (alpha[:, None] * logits).softmax(dim=1)
    for among, name in ((None, "relabel_all"), (low, "relabel_low")):
        found = relabel_by_margin(probabilities, labels, 0.2, among)
        changed = {str(i): int(new) for i, new in enumerate(found) if new != labels[i]}
        assert changed == golden[name]


@pytest.mark.parametrize("size", ["N=2", "N=3"])
def test_small_batches_are_those_published(size):
    alpha, logits, labels = published_inputs(int(size[2:]), "narrow")
    expected = GOLDEN["small_batches"][size]
    rank = rank_regularisation(alpha, BETA, 0.15)
    entropy = F.cross_entropy(alpha[:, None] * logits, labels)
    (rank + entropy).backward()
    assert rank.item() == pytest.approx(expected["rr"], abs=1e-12)
    assert entropy.item() == pytest.approx(expected["ce"], abs=1e-12)
    torch.testing.assert_close(alpha.grad.tolist(), expected["grad_alpha"], atol=1e-12, rtol=0)


@pytest.mark.parametrize("count", [0, 1])
def test_rank_of_too_few_is_zero_with_a_gradient(count):
    alpha = torch.rand(count, requires_grad=True)
    margin = torch.tensor(0.15, requires_grad=True)
    rank = rank_regularisation(alpha, BETA, margin)
    rank.backward()
    assert rank.item() == 0
    assert not alpha.grad.any() and margin.grad == 0


def test_rank_gradient_equals_finite_differences():
    alpha = torch.rand(9, dtype=torch.float64, requires_grad=True)
    margin = torch.tensor(0.9, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda a, m: rank_regularisation(a, BETA, m), (alpha, margin))
    # The two groups pull with equal and opposite force.
    rank_regularisation(alpha, BETA, margin).backward()
    assert alpha.grad.sum().abs() < 1e-12


def test_rank_is_invariant_to_order_and_computed_in_float32():
    alpha = torch.rand(40).to(torch.bfloat16)
    value = rank_regularisation(alpha, BETA, 0.9)
    assert value.dtype == torch.float32
    torch.testing.assert_close(rank_regularisation(alpha[torch.randperm(40)], BETA, 0.9), value)


def test_means_by_group_equal_a_loop():
    values, groups = torch.rand(30, dtype=torch.float64), torch.randint(0, 6, (30,)) * 10
    keys, means = mean_by_group(values, groups)
    assert keys.tolist() == sorted(set(groups.tolist()))
    for key, mean in zip(keys, means):
        members = [v.item() for v, g in zip(values, groups) if g == key]
        assert mean.item() == pytest.approx(sum(members) / len(members))
    values.requires_grad_()
    assert gradcheck(lambda v: mean_by_group(v, groups)[1], (values,))


def test_masks_in_place_of_choices():
    """What is left out by a mask changes neither means nor gradients."""
    generator = torch.Generator().manual_seed(1)
    for count in (0, 1, 3, 17):
        values = torch.rand(count, generator=generator, dtype=torch.float64)
        groups = torch.randint(5, (count,), generator=generator)
        among = torch.rand(count, generator=generator) < 0.6
        found = []
        for masked in (True, False):
            given = values.clone().requires_grad_()
            if masked:
                means, valid = group_means(given, groups, among)
                rank = rank_of_means(*importance_means(means, BETA, valid), 0.9)
                assert means[~valid].eq(0).all()
                means = means[valid]
            else:
                means = mean_by_group(given[among], groups[among])[1]
                high, low = split_by_importance(means, BETA)
                rank = given.sum() * 0
                if len(high) and len(low):
                    rank = (0.9 - means[high].mean() + means[low].mean()).clamp(min=0)
            rank.backward()
            found.append((means.detach(), rank.detach(), given.grad))
        torch.testing.assert_close(found[0], found[1])


def test_too_few_importances_give_no_loss():
    alpha = torch.tensor([0.4, 0.5, 0.6], requires_grad=True)
    means, counts = importance_means(alpha, BETA)
    assert counts.tolist() == [2, 1, 3]
    assert rank_of_means(means, counts, 0.5, least=3) > 0
    rank = rank_of_means(means, counts, 0.5, least=4)
    rank.backward()
    assert rank == 0 and alpha.grad.eq(0).all()
