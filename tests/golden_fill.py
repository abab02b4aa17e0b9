"""The formulas behind the golden files: inputs, weight fill, and comparison."""

import json
import math
import re
from pathlib import Path

import torch


def published(name):
    """The numbers of ``tests/golden/<name>.json``."""
    file = Path(__file__).parent / "golden" / f"{name}.json"
    return json.loads(file.read_text(encoding="utf-8"))


def wave(shape, phase, frequency=0.37):
    """sin(frequency * i + phase) over the flat row-major index i, float64."""
    count = math.prod(shape)
    return torch.sin(frequency * torch.arange(count, dtype=torch.float64) + phase).view(shape)


def canonical_name(name):
    """Our parameter name in the words of the golden files."""
    for block in ("gate", "input"):
        name = name.replace(f"{block}.norm.", f"{block}.bn.")
        for parameter in ("weight", "bias"):
            name = name.replace(f"{block}.{parameter}", f"{block}.conv.{parameter}")
    return name


def fill(module, entries):
    """Set every tensor by the fill rule; names and shapes must match ``entries`` exactly."""
    state = {canonical_name(name): tensor for name, tensor in module.state_dict().items()}
    assert {name: list(t.shape) for name, t in state.items()} == {
        name: shape for _, name, shape in entries
    }
    for k, name, _ in entries:
        tensor = state[name]
        if name.endswith("num_batches_tracked"):
            continue
        r = wave(tensor.shape, k, 0.7)
        if tensor.dim() > 1:
            value = r / math.sqrt(tensor[0].numel())
        elif name.endswith("running_var"):
            value = r.abs() + 0.5
        elif re.search(r"bn\d*\.weight$", name):
            value = 1 + 0.1 * r
        else:
            value = 0.1 * r
        tensor.copy_(value)


def cosine_sum(x):
    """Sum over the flat index i of x(i) cos(i): sensitive to order and layout."""
    return (x.flatten() * torch.cos(torch.arange(x.numel(), dtype=x.dtype))).sum()


def assert_close(actual, expected, what="", atol=1e-9, rtol=1e-7):
    """Compare a tensor with nested lists or a number."""
    expected = torch.as_tensor(expected, dtype=torch.float64)
    torch.testing.assert_close(
        actual.detach().double().reshape(expected.shape),
        expected,
        atol=atol,
        rtol=rtol,
        msg=lambda m: f"{what}: {m}",
    )
