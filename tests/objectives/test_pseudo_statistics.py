"""Running statistics of pseudo-labels, step by step by hand."""

import pytest
import torch

from drfpn_da.objectives.pseudo_statistics import PseudoLabelStatistics


def test_thresholds_follow_the_mean_scores():
    statistics = PseudoLabelStatistics(3, threshold=0.8, floor=0.4, confidence_momentum=0.5)
    assert statistics.thresholds().eq(0.8).all()
    expected = {0: None, 1: None}
    steps = {0: 0, 1: 0}
    for scores, classes in (
        ([0.9, 0.7, 0.5, 0.39], [0, 0, 1, 1]),
        ([0.6], [0]),
        ([1.0, 0.6], [0, 1]),
    ):
        statistics.add_scores(torch.tensor(scores), torch.tensor(classes))
        for k in expected:
            heard = [s for s, c in zip(scores, classes) if c == k and s >= 0.4]
            if heard:
                steps[k] += 1
                keep = min(0.5, 1 - 1 / steps[k])
                old = expected[k] or 0.0
                expected[k] = keep * old + (1 - keep) * sum(heard) / len(heard)
    assert statistics.confidence_steps.tolist() == [3, 2, 0]
    best = max(expected.values())
    by_hand = [max(0.4, 0.8 * expected[0] / best), max(0.4, 0.8 * expected[1] / best), 0.8]
    torch.testing.assert_close(statistics.thresholds(), torch.tensor(by_hand))


def test_without_adaptive_thresholds_nothing_is_noted():
    statistics = PseudoLabelStatistics(2, threshold=0.7)
    statistics.add_scores(torch.tensor([0.9]), torch.tensor([1]))
    assert statistics.thresholds().tolist() == pytest.approx([0.7, 0.7])
    assert statistics.confidence_steps.sum() == 0


def test_prior_of_the_labels_or_as_given():
    statistics = PseudoLabelStatistics(3)
    torch.testing.assert_close(statistics.prior(), torch.full((3,), 1 / 3))
    statistics.add_labels(torch.tensor([0, 0, 2]))
    statistics.add_labels(torch.tensor([0]))
    torch.testing.assert_close(statistics.prior(), torch.tensor([4.0, 1, 2]) / 7)
    given = PseudoLabelStatistics(2, frequencies=[0.9, 0.1])
    given.add_labels(torch.tensor([1, 1]))
    torch.testing.assert_close(given.prior(), torch.tensor([0.9, 0.1]))


def test_mean_prediction_keeps_the_gradient_of_this_step():
    statistics = PseudoLabelStatistics(2, prediction_momentum=0.75)
    first = torch.tensor([[0.8, 0.2], [0.4, 0.6]], requires_grad=True)
    mean = statistics.mean_prediction(first)
    torch.testing.assert_close(mean, torch.tensor([0.6, 0.4]))
    mean[0].backward()
    torch.testing.assert_close(first.grad, torch.tensor([[0.5, 0.0], [0.5, 0.0]]))
    # Without an ROI nothing moves, and no step is counted.
    assert torch.equal(statistics.mean_prediction(first[:0].detach()), mean.detach())
    second = torch.tensor([[0.2, 0.8]], requires_grad=True)
    mean = statistics.mean_prediction(second)
    torch.testing.assert_close(mean, torch.tensor([0.4, 0.6]))  # keep 1 - 1 / 2
    mean[1].backward()
    torch.testing.assert_close(second.grad, torch.tensor([[0.0, 0.5]]))
    assert not statistics.prediction.requires_grad and statistics.prediction_steps == 2


@pytest.mark.parametrize("frequencies", [[0.5, 0.6], [1.0, 0.0], [1.0]])
def test_bad_frequencies(frequencies):
    with pytest.raises(ValueError, match=r"PRIOR\.FREQUENCIES"):
        PseudoLabelStatistics(2, frequencies=frequencies)
