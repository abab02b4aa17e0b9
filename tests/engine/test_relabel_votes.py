"""What a vote is: who may vote, with which probabilities, and with what weight."""

import pytest
import torch
from detectron2.structures import Boxes, Instances

from drfpn_da.engine.relabel_votes import VoteRecorder
from drfpn_da.labels import VoteAccumulator, tally_votes
from drfpn_da.modeling.roi_heads import Predictions

K = 2
# Overlap with the annotation's box: 1, 0.8, 0.5, 0.4, 1, 1, 1.
WIDTHS = [10, 8, 5, 4, 10, 10, 10]
CLASSES = [0, 0, 0, 0, K, -1, 1]
INDEX = [3, 3, 3, 3, 3, 3, 5]
LOGITS = [[2, 0, 9], [0, 1, 9], [0, 4, 9], [9, 0, 0], [9, 0, 0], [9, 0, 0], [1, 1, -50]]


def make_step():
    """Proposals of one picture with annotations and of one without, and what the heads said."""
    count = len(WIDTHS)
    boxes = torch.tensor([[0.0, 0.0, width, 10.0] for width in WIDTHS])
    labelled = Instances(
        (20, 20),
        proposal_boxes=Boxes(boxes),
        gt_boxes=Boxes(torch.tensor([[0.0, 0.0, 10.0, 10.0]]).repeat(count, 1)),
        gt_classes=torch.tensor(CLASSES),
        gt_annotation_index=torch.tensor(INDEX),
    )
    empty = Instances((20, 20), proposal_boxes=Boxes(boxes[:1]), gt_classes=torch.tensor([K]))
    logits = torch.tensor([*LOGITS, [9, 0, 0]], dtype=torch.float32)
    alpha = torch.linspace(0.1, 0.8, count + 1)
    predictions = Predictions(alpha[:, None] * logits, torch.zeros(count + 1, 4), alpha, logits)
    return predictions, [labelled, empty]


@pytest.mark.parametrize("probabilities", ["raw", "scaled"])
def test_foreground_votes_by_overlap_without_background(probabilities):
    recorder = VoteRecorder(VoteAccumulator(K), 0.5, probabilities)
    recorder(*make_step())
    assert len(tally_votes(recorder.votes.state()).index) == 0, "not in a window"
    recorder.active = True
    recorder(*make_step())
    tally = tally_votes(recorder.votes.state())
    # Too little overlap, background, ignored, and the picture without annotations: no vote.
    assert tally.index.tolist() == [3, 5]
    assert tally.count.tolist() == [3, 1]
    assert tally.votes.tolist() == [[1, 2], [1, 0]]
    factors = (0.1, 0.2, 0.3) if probabilities == "scaled" else (1, 1, 1)
    second = [
        1 / (1 + 2.718281828459045 ** (factor * (a - b)))
        for factor, (a, b, _) in zip(factors, LOGITS)
    ]
    mean = (1.0 * second[0] + 0.8 * second[1] + 0.5 * second[2]) / 2.3
    assert tally.probabilities[0].tolist() == pytest.approx([1 - mean, mean], abs=1e-6)
    assert tally.probabilities[1].tolist() == pytest.approx([0.5, 0.5], abs=1e-6)
    assert tally.alpha.tolist() == pytest.approx([0.2, 0.7], abs=1e-6)
