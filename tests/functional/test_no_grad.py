"""Passes without gradients beside passes with them, in one autocast block."""

import pytest
import torch

from drfpn_da.functional.no_grad import without_gradients


def test_a_weight_used_without_gradients_first_still_gets_one():
    layer, x = torch.nn.Linear(4, 4), torch.randn(2, 4)
    with torch.autocast("cpu", torch.bfloat16):
        with without_gradients():
            label = layer(x)
        output = layer(x)
    assert not label.requires_grad and torch.equal(label, output)
    output.sum().backward()
    assert layer.weight.grad is not None and layer.bias.grad is not None


def test_no_cast_is_kept_inside_and_all_is_as_before_outside():
    """Newer torch keeps no cast that was made without gradients; so look at the switch."""

    @without_gradients()
    def inside():
        return torch.is_grad_enabled(), torch.is_autocast_cache_enabled()

    with torch.autocast("cpu", torch.bfloat16):
        assert inside() == inside() == (False, False)
        assert torch.is_grad_enabled() and torch.is_autocast_cache_enabled()
        with pytest.raises(KeyError), without_gradients():
            raise KeyError
        assert torch.is_grad_enabled() and torch.is_autocast_cache_enabled()
    with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
        inside()
        assert not torch.is_autocast_cache_enabled()
