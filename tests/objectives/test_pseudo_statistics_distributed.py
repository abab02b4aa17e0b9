"""Running statistics of pseudo-labels over two processes."""

import torch
from detectron2.utils import comm

from drfpn_da.objectives.pseudo_statistics import PseudoLabelStatistics
from tests.two_processes import run_in_two_processes

SCORES, CLASSES = torch.tensor([0.9, 0.6, 0.8]), torch.tensor([0, 1, 1])
PROBABILITIES = torch.tensor([[0.8, 0.2], [0.5, 0.5], [0.2, 0.8]])


def note(part):
    statistics = PseudoLabelStatistics(2, floor=0.1)
    statistics.add_scores(SCORES[part], CLASSES[part])
    statistics.add_labels(CLASSES[part])
    rows = PROBABILITIES[part].requires_grad_()
    statistics.mean_prediction(rows)[0].backward()
    return {**statistics.state_dict(), "gradient": rows.grad}


def note_part(folder):
    # Of three rows one process has one, the other two.
    part = slice(0, 1) if comm.get_rank() == 0 else slice(1, 3)
    torch.save(note(part), folder / f"{comm.get_rank()}.pt")


def test_two_processes_note_what_one_would(tmp_path):
    run_in_two_processes(note_part, tmp_path)
    expected = note(slice(0, 3))
    gradients = []
    for rank in range(2):
        state = torch.load(tmp_path / f"{rank}.pt")
        gradients.append(state.pop("gradient"))
        for key, value in state.items():
            torch.testing.assert_close(value, expected[key])
    # DistributedDataParallel halves the sum of the two.
    torch.testing.assert_close(torch.cat(gradients) / 2, expected["gradient"])
