"""Votes add up exactly; the policy decides as its rule says, within its limits."""

import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from drfpn_da.labels import (
    RelabelPolicy,
    Tally,
    VoteAccumulator,
    merge_votes,
    tally_votes,
    votes,  # the module
)
from tests.published_relabelling import relabel_by_margin

K = 4
LOOSE = {
    "lead_share": 0.0,
    "prior_power": 0.0,
    "min_votes": 1,
    "min_agree": 0.0,
    "patience": 1,
    "max_fraction": 1.0,
    "max_total": 1.0,
    "max_class_loss": 1.0,
}


def random_votes(count, annotations=9, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randint(0, annotations, (count,), generator=generator),
        torch.randn(count, K, generator=generator).softmax(dim=1),
        torch.rand(count, generator=generator),
        torch.rand(count, generator=generator),
    )


def accumulate(*batches):
    votes = VoteAccumulator(K)
    for batch in batches:
        votes.add(*batch)
    return votes.state()


def assert_same(first, second):
    assert first.keys() == second.keys()
    for name, values in first.items():
        assert np.array_equal(values, second[name]), name


def test_tally_equals_a_loop():
    index, probabilities, weight, alpha = random_votes(80)
    tally = tally_votes(accumulate((index, probabilities, weight, alpha)))
    assert tally.index.tolist() == sorted(set(index.tolist()))
    for row, number in enumerate(tally.index):
        mine = [i for i in range(80) if index[i] == number]
        total = sum(weight[i].item() for i in mine)
        for c in range(K):
            mean = sum(weight[i].item() * probabilities[i, c].item() for i in mine) / total
            assert tally.probabilities[row, c] == pytest.approx(mean, abs=1e-7)
            votes = sum(int(probabilities[i].argmax()) == c for i in mine)
            assert tally.votes[row, c] == votes
        assert tally.count[row] == len(mine)
        assert tally.alpha[row] == pytest.approx(np.mean([alpha[i].item() for i in mine]), abs=1e-7)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 3))
def test_neither_order_nor_division_matters(seed, processes):
    """Exactly: sums of one process equal the merged sums of several, in any order."""
    votes = random_votes(60, seed=seed)
    whole = accumulate(votes)
    order = list(range(60))
    random.Random(seed).shuffle(order)
    parts = [accumulate(*([t[order[p::processes]] for t in votes],)) for p in range(processes)]
    assert_same(whole, merge_votes(parts, K))
    assert_same(whole, merge_votes(parts[::-1], K))


def test_many_small_batches_and_saved_state_equal_one():
    votes = random_votes(200)
    small = VoteAccumulator(K)
    for start in range(0, 200, 2):
        small.add(*(t[start : start + 2] for t in votes))
        if start == 120:
            saved = small.state()
            small = VoteAccumulator(K)
            small.load_state(saved)
    assert_same(accumulate(votes), small.state())
    small.clear()
    assert len(tally_votes(small.state()).index) == 0
    with pytest.raises(ValueError, match="saved votes are on 4 classes, the model has 7"):
        VoteAccumulator(7).load_state(saved)


def make_tally(probabilities, count=10, alpha=None):
    probabilities = np.asarray(probabilities, dtype=np.float64)
    size, classes = probabilities.shape
    counts = np.full(size, count)
    votes = np.zeros((size, classes), dtype=np.int64)
    votes[np.arange(size), probabilities.argmax(1)] = count
    alpha = np.full(size, 0.5) if alpha is None else np.asarray(alpha, dtype=float)
    return Tally(np.arange(size), probabilities, alpha, counts, votes)


def decide(policy, tally, labels, given=None, locked=None, streaks=None):
    labels = np.asarray(labels)
    given = labels if given is None else np.asarray(given)
    locked = np.zeros(len(labels), dtype=bool) if locked is None else np.asarray(locked)
    return policy.decide(tally, labels, given, locked, streaks or {})


def changes(decisions):
    return {d.index: d.new for d in decisions}


@pytest.mark.parametrize("scope", ["all", "low"])
def test_one_vote_each_is_the_published_rule(scope):
    generator = torch.Generator().manual_seed(4)
    probabilities = torch.randn(50, K, generator=generator, dtype=torch.float64).softmax(1)
    alpha = torch.rand(50, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, K, (50,), generator=generator)
    low = alpha.argsort(descending=True)[int(0.7 * 50) :] if scope == "low" else None
    expected = relabel_by_margin(probabilities, labels, 0.2, low)
    policy = RelabelPolicy(**LOOSE, margin=0.2, scope=scope)
    tally = make_tally(probabilities.numpy(), alpha=alpha.numpy())
    # No class may lose its last annotation: none does here.
    found, _ = decide(policy, tally, labels.numpy())
    wanted = {i: int(n) for i, (n, old) in enumerate(zip(expected, labels)) if n != old}
    assert changes(found) == wanted and len(wanted) > 5
    assert [d.margin for d in found] == sorted((d.margin for d in found), reverse=True)


def test_margin_must_be_exceeded():
    tally = make_tally([[0.375, 0.625], [0.37, 0.63], [0.9, 0.1]])
    found, _ = decide(RelabelPolicy(**{**LOOSE, "margin": 0.25}), tally, [0, 0, 0])
    assert changes(found) == {1: 1}


def test_share_of_the_usual_lead_by_hand():
    """Shared labels lead by 0.2, 0.6, 0.7 (median 0.6): half of it, 0.3, must be exceeded."""
    right = [[0.6, 0.4, 0.0], [0.8, 0.2, 0.0], [0.85, 0.0, 0.15]]
    doubtful = [[0.3, 0.65, 0.05], [0.34, 0.62, 0.04], [0.0, 0.5, 0.5]]
    tally = make_tally(right + doubtful)
    policy = RelabelPolicy(**{**LOOSE, "margin": 0.1, "lead_share": 0.5})
    # Leads 0.35 and 0.28 against the label; the last one is undecided between two other classes.
    assert changes(decide(policy, tally, [0] * 6)[0]) == {3: 1, 5: 1}
    policy = RelabelPolicy(**{**LOOSE, "margin": 0.4, "lead_share": 0.5})
    assert changes(decide(policy, tally, [0] * 6)[0]) == {5: 1}


def test_where_the_detector_shares_no_label_nothing_changes():
    tally = make_tally([[0.0, 1.0], [0.1, 0.9]])
    assert not decide(RelabelPolicy(**{**LOOSE, "lead_share": 1.0}), tally, [0, 0])[0]
    assert not decide(
        RelabelPolicy(**{**LOOSE, "lead_share": 1.0}), make_tally(np.empty((0, 2))), [0]
    )[0]


def noisy_votes(rate, objects=400, hard=0.05, seed=3):
    """Votes of a detector that has learnt labels flipped at a rate, and those labels.

    It gives what it takes for the true class the share of labels that say so, 1 - rate, and the
    rest to the others. Of the hard objects it is half sure that they are of another class.
    """
    rng = np.random.default_rng(seed)
    true = rng.integers(0, K, objects)
    labels = np.where(rng.random(objects) < rate, (true + rng.integers(1, K, objects)) % K, true)
    learnt = np.full((K, K), rate / (K - 1)) + np.eye(K) * (1 - rate - rate / (K - 1))
    probabilities = learnt[true]
    mistaken = np.flatnonzero(rng.random(objects) < hard)
    other = learnt[(true[mistaken] + 1) % K]
    probabilities[mistaken] = 0.7 * other + 0.3 * learnt[true[mistaken]]
    return make_tally(probabilities), labels, true


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.2, 0.3])
def test_hard_objects_stay_and_ordinary_flips_are_found_at_every_rate(rate):
    """Hard objects lead by 0.4 of what ordinary ones lead by, which falls from 1 to 0.6."""
    tally, labels, true = noisy_votes(rate)
    options = {**LOOSE, "margin": 0.2, "lead_share": 0.7}
    changed = set(changes(decide(RelabelPolicy(**options), tally, labels)[0]))
    ordinary = tally.probabilities.argmax(1) == true
    assert changed >= set(np.flatnonzero(ordinary & (labels != true)).tolist())
    assert not changed & set(np.flatnonzero(labels == true).tolist())
    alone = decide(RelabelPolicy(**{**options, "lead_share": 0.0}), tally, labels)[0]
    assert set(changes(alone)) & set(np.flatnonzero(labels == true).tolist()), "margin alone harms"


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.floats(0, 1), st.floats(0, 1), st.floats(0, 0.9))
def test_a_higher_share_changes_a_subset(seed, first, second, margin):
    rng = np.random.default_rng(seed)
    tally, labels = make_tally(rng.dirichlet(np.ones(K) * 0.4, 40)), rng.integers(0, K, 40)
    low, high = (
        set(
            changes(
                decide(
                    RelabelPolicy(**{**LOOSE, "margin": margin, "lead_share": share}), tally, labels
                )[0]
            )
        )
        for share in sorted((first, second))
    )
    assert high <= low


def test_frequent_classes_must_be_surer():
    """Of labels 0, 1, 2 in proportions 6 : 3 : 1, with nobody of class 3."""
    labels = [0] * 6 + [1] * 3 + [2]
    one = [0.45, 0.1, 0.25, 0.2]
    tally = make_tally([one] * 10)
    policy = RelabelPolicy(**{**LOOSE, "margin": 0.3, "prior_power": 1.0})
    found, _ = decide(policy, tally, labels)
    # Divided by 6, 3, 1 and without class 3: 0.075, 0.0333, 0.25; class 2 is the best by far.
    # Each class keeps its last label.
    assert changes(found) == dict.fromkeys([0, 1, 2, 3, 4, 6, 7], 2)
    total = 0.45 / 6 + 0.1 / 3 + 0.25
    assert found[0].p_new == pytest.approx(0.25 / total)
    assert {round(d.p_old, 12) for d in found} == {
        round(p / total, 12) for p in (0.45 / 6, 0.1 / 3)
    }
    assert not decide(RelabelPolicy(**{**LOOSE, "margin": 0.36}), tally, labels)[0]


def test_votes_and_agreement_are_needed():
    tally = make_tally([[0.1, 0.9], [0.1, 0.9], [0.1, 0.9], [0.9, 0.1]])
    tally.count[0] = 7
    tally.votes[1] = [5, 5]
    policy = RelabelPolicy(**{**LOOSE, "min_votes": 8, "min_agree": 0.6})
    assert changes(decide(policy, tally, [0] * 4)[0]) == {2: 1}


def test_locked_forbidden_and_other_classes_stay():
    tally = make_tally(np.full((5, 4), 0.05) + 0.8 * np.eye(4)[[1, 1, 2, 3, 0]])
    labels = [0, 0, 0, 0, 0]
    assert set(changes(decide(RelabelPolicy(**LOOSE), tally, labels)[0])) == {0, 1, 2, 3}
    locked = [True, False, False, False, False]
    assert set(changes(decide(RelabelPolicy(**LOOSE), tally, labels, locked=locked)[0])) == {
        1,
        2,
        3,
    }
    policy = RelabelPolicy(**LOOSE, forbidden=frozenset({(0, 1)}))
    assert set(changes(decide(policy, tally, labels)[0])) == {2, 3}
    policy = RelabelPolicy(**LOOSE, classes=frozenset({0, 3}))
    assert set(changes(decide(policy, tally, labels)[0])) == {3}


def test_patience_counts_windows_in_a_row():
    policy = RelabelPolicy(**{**LOOSE, "patience": 2})
    to_one, to_two = make_tally([[0.1, 0.8, 0.1]] * 2), make_tally([[0.1, 0.1, 0.8]] * 2)
    calm = make_tally([[0.8, 0.1, 0.1]] * 2)
    unseen = Tally(
        *(a[:0] for a in (calm.index, calm.probabilities, calm.alpha, calm.count, calm.votes))
    )
    for windows, expected in (
        ([to_one, to_one], True),
        ([to_one, to_two], False),
        ([to_one, calm, to_one], False),
        ([to_one, unseen, to_one], True),
    ):
        streaks = {}
        for window in windows:
            found, streaks = decide(policy, window, [0, 0], streaks=streaks)
        assert bool(found) == expected
        # One of two: the class keeps its last annotation.
        assert len(found) <= 1


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 0.4))
def test_limits_hold_exactly(seed, fraction, total, loss, before):
    rng = np.random.default_rng(seed)
    given_labels = rng.integers(0, K, 60)
    labels = np.where(rng.random(60) < before, rng.integers(0, K, 60), given_labels)
    changed = int((labels != given_labels).sum())
    lost_before = np.array([((given_labels == c) & (labels != c)).sum() for c in range(K)])
    tally = make_tally(rng.dirichlet(np.ones(K) * 0.3, 60))
    policy = RelabelPolicy(
        **{**LOOSE, "max_fraction": fraction, "max_total": total, "max_class_loss": loss}
    )
    found, _ = decide(policy, tally, labels, given_labels)
    after = labels.copy()
    for d in found:
        assert after[d.index] == d.old
        after[d.index] = d.new
    assert len(found) <= int(fraction * 60)
    assert (after != given_labels).sum() <= max(int(total * 60), changed)
    for c in range(K):
        owned, lost = (given_labels == c).sum(), ((given_labels == c) & (after != c)).sum()
        assert lost <= max(loss * owned, lost_before[c])
        if lost > lost_before[c]:
            assert lost < owned, "a class lost its last annotation"


def test_the_largest_margins_come_first_and_ties_go_by_number():
    tally = make_tally([[0.2, 0.8], [0.1, 0.9], [0.1, 0.9], [0.9, 0.1], [0.9, 0.1]])
    policy = RelabelPolicy(**{**LOOSE, "max_fraction": 0.4})
    found, streaks = decide(policy, tally, [0, 0, 0, 0, 0])
    assert [d.index for d in found] == [1, 2]
    assert streaks == {0: (1, 1)}, "what a limit holds back stays ready"


@pytest.mark.parametrize("rank_by", ["alpha", "p_gt", "margin"])
def test_low_group_by_each_ranking(rank_by):
    rng = np.random.default_rng(2)
    probabilities, alpha = rng.dirichlet(np.ones(3), 10), rng.random(10)
    labels = np.zeros(10, dtype=np.int64)
    gap = probabilities.max(1) - probabilities[:, 0]
    value = {"alpha": alpha, "p_gt": probabilities[:, 0], "margin": -gap}[rank_by]
    low = set(np.argsort(value)[:3].tolist())
    policy = RelabelPolicy(**LOOSE, margin=0.2, scope="low", rank_by=rank_by)
    found, _ = decide(policy, make_tally(probabilities, alpha=alpha), labels)
    assert set(changes(found)) == {i for i in low if gap[i] > 0.2}


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"margin": 1.0}, "MARGIN_2"),
        ({"lead_share": 1.5}, "LEAD_SHARE"),
        ({"prior_power": 2.0}, "PRIOR_POWER"),
        ({"min_votes": 0}, "MIN_VOTES"),
        ({"min_agree": 1.5}, "MIN_AGREE"),
        ({"patience": 0}, "PATIENCE"),
        ({"scope": "high"}, "SCOPE"),
        ({"rank_by": "loss"}, "RANK_BY"),
        ({"max_fraction": -0.1}, "MAX_FRACTION"),
        ({"max_total": 2}, "MAX_TOTAL"),
        ({"max_class_loss": 1.01}, "MAX_CLASS_LOSS"),
    ],
)
def test_impossible_thresholds_are_refused(options, key):
    with pytest.raises(ValueError, match=rf"SCN_RELABEL\.{key} is .*; write "):
        RelabelPolicy(**options)


def test_long_windows_are_not_added_up_again_and_again(monkeypatch):
    """Eight times the votes on eight times the annotations touch about eight times the rows."""
    touched = []

    def counting(states, num_classes):
        touched[-1] += sum(len(state["index"]) for state in states)
        return merge_votes(states, num_classes)

    monkeypatch.setattr(votes, "merge_votes", counting)
    for size in (2**12, 2**15):
        touched.append(0)
        accumulator, parts = VoteAccumulator(2), VoteAccumulator(2)
        for index in torch.randperm(size).split(8):
            share = torch.rand(8, 2).softmax(dim=1)
            accumulator.add(index, share, torch.ones(8), torch.ones(8))
            parts._pending.append((index, share, torch.ones(8), torch.ones(8)))
        found = accumulator.state()
        counted = touched[-1]
        at_once = merge_votes([parts._from_tensors(*p) for p in parts._pending], 2)
        assert all(np.array_equal(found[key], at_once[key]) for key in at_once)
        touched[-1] = counted
    assert touched[1] < 16 * touched[0]  # 64 times before, when all was joined each time


def test_a_vote_on_no_annotation_does_not_count():
    accumulator = VoteAccumulator(2)
    accumulator.add(*(torch.tensor(v) for v in ([-1, 4], [[1.0, 0], [0, 1.0]], [1.0, 1], [1.0, 1])))
    tally = tally_votes(accumulator.state())
    assert tally.index.tolist() == [4] and tally.votes.tolist() == [[0, 1]]
