"""A frozen norm inside its convolution, against the two one after the other."""

from __future__ import annotations

import copy
from collections import Counter

import pytest
import torch
from detectron2.layers import FrozenBatchNorm2d
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torchvision.models import mobilenet_v2

from drfpn_da.layers.frozen_norm import FoldedConv2d, fold_frozen_norms
from drfpn_da.modeling import MobileNetV2


def stacked() -> nn.Sequential:
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(6)
    model = nn.Sequential(nn.Conv2d(4, 6, 3, 2, 1, groups=2, bias=False), norm, nn.ReLU())
    for value in norm.state_dict().values():
        if value.dtype.is_floating_point:
            value.copy_(torch.rand(6) + 0.1)
    return FrozenBatchNorm2d.convert_frozen_batchnorm(model).double()


def test_outputs_and_gradients_are_those_of_both_layers():
    plain, folded = stacked(), stacked()
    fold_frozen_norms(folded)
    assert isinstance(folded[0], FoldedConv2d)
    assert list(folded.state_dict()) == list(plain.state_dict())
    x = torch.randn(2, 4, 7, 9, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(2, 6, 4, 5, dtype=torch.float64)
    found = []
    for model in (plain, folded):
        out = model(x)
        grads = torch.autograd.grad((out * weights).sum(), [x, model[0].weight])
        found.append((out, *grads))
    for one, other in zip(*found):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_statistics_that_are_loaded_or_copied_are_used():
    plain, folded = stacked(), stacked()
    fold_frozen_norms(folded)
    copied = copy.deepcopy(folded)
    state = {key: value * 1.5 for key, value in plain.state_dict().items()}
    plain.load_state_dict(state)
    copied.load_state_dict(state)
    x = torch.randn(1, 4, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(copied(x), plain(x))
    assert not torch.allclose(folded(x), plain(x)), "a copy shares the statistics of the original"


def change_statistics(model):
    model[1].running_mean.add_(1.0)


def change_weight(model):
    with torch.no_grad():
        model[0].weight.lerp_(torch.ones_like(model[0].weight), 0.5)


def train_without_record(model):
    model.train()
    model[0].weight.data.mul_(2.0)
    model.eval()


def replace_weight(model):
    model[0].weight = nn.Parameter(torch.full_like(model[0].weight, 0.3))


@pytest.mark.parametrize(
    "change",
    [change_statistics, change_weight, train_without_record, replace_weight, nn.Module.float],
)
def test_what_is_kept_follows_every_change(change):
    plain, folded = stacked().eval(), stacked().eval()
    fold_frozen_norms(folded)
    x = torch.randn(1, 4, 8, 8, dtype=torch.float64)
    with torch.no_grad():
        before = folded(x)
        assert torch.equal(folded(x), before)
        for model in (plain, folded):
            change(model)
        x = x.to(folded[0].weight.dtype)
        after = folded(x)
        torch.testing.assert_close(after, plain(x))
        assert not torch.equal(after, before.to(after.dtype))


def test_what_inference_mode_kept_serves_a_training_pass():
    folded = stacked()
    fold_frozen_norms(folded)
    x = torch.randn(1, 4, 8, 8, dtype=torch.float64)
    with torch.inference_mode():
        folded(x)
    folded(x).sum().backward()
    assert folded[0].weight.grad.abs().sum() > 0


class Operations(TorchDispatchMode):
    """Counts what reaches the device."""

    def __init__(self):
        super().__init__()
        self.count = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count[function.overloadpacket.__name__] += 1
        return function(*args, **(kwargs or {}))


def test_nothing_is_computed_twice():
    folded = stacked().eval()
    fold_frozen_norms(folded)
    x = torch.randn(1, 4, 8, 8, dtype=torch.float64)
    with torch.no_grad(), Operations() as first:
        folded(x)
    with torch.no_grad(), Operations() as second:
        folded(x)
    assert first.count["rsqrt"] == 1 and first.count["mul"] > 0
    assert second.count["rsqrt"] == second.count["mul"] == 0


def test_convolutions_with_a_bias_and_trained_norms_stay():
    model = nn.Sequential(nn.Conv2d(2, 2, 1), FrozenBatchNorm2d(2))
    model.append(nn.Sequential(nn.Conv2d(2, 2, 1, bias=False), nn.BatchNorm2d(2)))
    fold_frozen_norms(model)
    assert not [m for m in model.modules() if isinstance(m, FoldedConv2d)]


def test_mobilenet_is_that_of_torchvision():
    torch.manual_seed(0)
    reference = mobilenet_v2(weights=None).features[:18].double().eval()
    for module in reference.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    body = MobileNetV2().double()
    assert not body.features.load_state_dict(reference.state_dict(), strict=False).missing_keys
    x = torch.randn(2, 3, 64, 96, dtype=torch.float64)
    found = body(x)
    for name, last in (("res2", 3), ("res3", 6), ("res4", 13), ("res5", 17)):
        assert found[name].is_contiguous()
        torch.testing.assert_close(found[name], reference[: last + 1](x))
