"""What tests of training share: batches, losses, equality of states, exact resume."""

import itertools

import torch

from drfpn_da.engine import Trainer


def take(loader, count):
    """The next batches of a loader."""
    return list(itertools.islice(loader, count))


def assert_same(first, second):
    """Names, pictures and, where there are any, boxes of all batches agree bit by bit."""
    first, second = list(itertools.chain(*first)), list(itertools.chain(*second))
    assert len(first) == len(second) > 0
    for a, b in zip(first, second):
        assert a.keys() == b.keys()
        assert a["file_name"] == b["file_name"]
        assert torch.equal(a["image"], b["image"])
        if "instances" in a:
            assert torch.equal(*(x["instances"].gt_boxes.tensor for x in (a, b)))


def losses(trainer):
    """Raw (unsmoothed) losses: name -> {iteration: value}."""
    return {
        name: {int(at): value for value, at in history.values()}
        for name, history in trainer.storage.histories().items()
        if "loss" in name
    }


def assert_equal_states(first, second):
    """Bitwise equality of nested checkpoint states."""
    if isinstance(first, torch.Tensor):
        assert torch.equal(first, second)
    elif isinstance(first, dict):
        assert first.keys() == second.keys()
        for key in first:
            assert_equal_states(first[key], second[key])
    elif isinstance(first, (list, tuple)):
        assert len(first) == len(second)
        for a, b in zip(first, second):
            assert_equal_states(a, b)
    else:
        assert first == second


def assert_resumes_exactly(build, workers, stop=3):
    """An unbroken run equals one that stops and goes on (there with other workers).

    ``build`` makes a trainer with a checkpoint after ``stop`` iterations, half of its run, from the
    name of its output folder and a number of workers. Returns the resumed trainer.
    """
    straight = build("straight", 0)
    straight.train()
    stopped = build("stopped", 0)
    stopped.max_iter = stop
    stopped.train()
    # What was drawn in between must not matter.
    torch.rand(7)
    resumed = build("stopped", workers)
    resumed.resume_or_load(resume=True)
    assert resumed.start_iter == stop
    resumed.train()
    assert_equal_states(straight.model.state_dict(), resumed.model.state_dict())
    assert_equal_states(straight.optimizer.state_dict(), resumed.optimizer.state_dict())
    expected, found = losses(straight), losses(resumed)
    assert expected
    for name, values in expected.items():
        later = {at: value for at, value in values.items() if at >= stop}
        assert found.get(name, {}) == later, name
    return resumed


def train_in_double_precision(cfg):
    """Train with parameters of float64; return the trainer."""
    torch.set_default_dtype(torch.float64)
    try:
        trainer = Trainer(cfg)
        trainer.train()
    finally:
        torch.set_default_dtype(torch.float32)
    return trainer
