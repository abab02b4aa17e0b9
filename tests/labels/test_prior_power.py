"""Votes and margins make up for the frequencies of the classes alike."""

import numpy as np
import pytest
import torch

from drfpn_da.labels import RelabelPolicy, VoteAccumulator, tally_votes


def test_agreement_is_of_the_probabilities_that_are_compared():
    """Nine cars to a van: votes that doubt a car count for the van, as its adjusted margin does."""
    given = np.array([0] * 900 + [1] * 100)
    policy = RelabelPolicy(patience=1)
    probabilities = torch.tensor([[0.97, 0.03]]).repeat(300, 1)
    probabilities[:10] = torch.tensor([0.6, 0.4])  # 0.6 / 9 against 0.4
    free = np.zeros(1000, dtype=bool)
    moved = {}
    for name, factors in (("adjusted", policy.class_factors(given, 2)), ("raw", None)):
        accumulator = VoteAccumulator(2, factors)
        for _ in range(10):
            accumulator.add(torch.arange(300), probabilities, torch.ones(300), torch.ones(300))
        tally = tally_votes(accumulator.state())
        found, _ = policy.decide(tally, given, given, free, {})
        moved[name] = [(d.index, d.new, d.agree) for d in found]
    assert moved == {"adjusted": [(i, 1, 1.0) for i in range(10)], "raw": []}
    assert tally.probabilities[0] == pytest.approx([0.6, 0.4]), "means are as they were voted"


def test_factors_are_powers_of_frequencies():
    given = np.array([0, 0, 0, 0, 2])
    assert RelabelPolicy().class_factors(given, 3).tolist() == [0.25, 0.0, 1.0]
    assert RelabelPolicy(prior_power=0.5).class_factors(given, 3).tolist() == [0.5, 0.0, 1.0]
    assert RelabelPolicy(prior_power=0.0).class_factors(given, 3).tolist() == [1.0, 1.0, 1.0]
    # A vote for a class alone that nobody labelled stays one.
    accumulator = VoteAccumulator(3, RelabelPolicy().class_factors(given, 3))
    accumulator.add(*(torch.tensor(v) for v in ([7], [[0.0, 1.0, 0.0]], [1.0], [1.0])))
    assert tally_votes(accumulator.state()).votes.tolist() == [[0, 1, 0]]
