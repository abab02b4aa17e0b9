"""A copy of a model trains by itself: its hooks, recorders and averages are its own."""

import copy
import pickle

import pytest
import torch
from detectron2.utils.events import EventStorage

from tests.systems import SYSTEMS


def train_step(model, inputs, iteration):
    torch.manual_seed(iteration)
    with EventStorage(iteration):
        losses = model(inputs)
    model.zero_grad()
    sum(losses.values()).backward()
    gradients = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    return losses, {name: value.clone() for name, value in gradients.items()}


def tensors(model):
    return [*model.parameters(), *model.buffers()]


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_copy_trains_as_the_original_and_apart_from_it(system, tmp_path):
    model, inputs = system(tmp_path)
    model.train()
    train_step(model, inputs, 1)  # fills what recorders hold
    copies = [copy.deepcopy(model), pickle.loads(pickle.dumps(model))]
    other = [{**x, "image": x["image"].flip(-1)} for x in inputs]  # a stale record would show
    before = {key: value.clone() for key, value in model.state_dict().items()}
    found = [train_step(copied, other, 2) for copied in copies]
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    expected, wanted = train_step(model, other, 2)
    for copied, (losses, gradients) in zip(copies, found):
        shared = {t.data_ptr() for t in tensors(model)} & {t.data_ptr() for t in tensors(copied)}
        assert not shared - {0}
        assert losses.keys() == expected.keys() and gradients.keys() == wanted.keys()
        assert all(torch.equal(value, expected[name]) for name, value in losses.items())
        assert all(torch.equal(value, wanted[name]) for name, value in gradients.items())
        assert list(copied.state_dict()) == list(model.state_dict())
