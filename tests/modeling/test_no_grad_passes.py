"""Mixed precision where a step runs networks both without gradients and with them.

Up to torch 2.8, autocast gives a pass with gradients the casts that a pass without left behind.
Newer torch does not, so that missing gradients alone would show the fault on some versions only:
the tests also ask that nothing that is trained runs without gradients while casts are kept.
"""

import contextlib

import pytest
import torch
from detectron2.utils.events import EventStorage
from torch.nn.modules.module import register_module_forward_pre_hook

from tests.systems import SYSTEMS


@contextlib.contextmanager
def nothing_trained_leaves_casts():
    """Inside the block, no trained layer may run without gradients while casts are kept."""
    found = []

    def look(module, inputs):
        if not torch.is_grad_enabled() and torch.is_autocast_cache_enabled():
            trained = any(p.requires_grad for p in module.parameters(recurse=False))
            found.extend([type(module).__name__] if trained else [])

    handle = register_module_forward_pre_hook(look)
    try:
        yield
    finally:
        handle.remove()
    assert not found


@pytest.mark.parametrize(
    "system",
    SYSTEMS,
)
def test_mixed_precision_trains_what_full_precision_trains(system, tmp_path):
    model, inputs = system(tmp_path)
    model.train()
    trained = {}
    for enabled in (False, True):
        model.zero_grad(set_to_none=True)
        with EventStorage(1):
            with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
                with nothing_trained_leaves_casts():
                    losses = model(inputs)
            sum(losses.values()).backward()
        trained[enabled] = [n for n, p in model.named_parameters() if p.grad is not None]
    assert trained[True] == trained[False] and trained[True]
    labellers = [n for n, p in model.named_parameters() if not p.requires_grad]
    assert all(model.get_parameter(name).grad is None for name in labellers)
