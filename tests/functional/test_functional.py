"""Pure functions against their definitions."""

import pytest
import torch
import torch.nn.functional as F

from drfpn_da.functional import add_upsampled, conv3x3_to_few


@pytest.mark.parametrize("size", [(6, 8), (5, 8), (6, 7), (5, 7), (1, 1)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_add_upsampled_is_interpolation_to_the_bit(size, layout):
    low = torch.randn(2, 3, *size).to(memory_format=layout).requires_grad_()
    high = (
        torch.randn(2, 3, (size[0] + 1) // 2, (size[1] + 1) // 2)
        .to(memory_format=layout)
        .requires_grad_()
    )
    expected = low + F.interpolate(high, size=size, mode="nearest")
    actual = add_upsampled(low, high)
    assert torch.equal(actual, expected)
    weight = torch.randn_like(expected)
    for a, b in zip(
        torch.autograd.grad((actual * weight).sum(), (low, high)),
        torch.autograd.grad((expected * weight).sum(), (low, high)),
    ):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("outputs, bias", [(1, True), (2, False)])
def test_conv3x3_to_few_is_a_convolution(outputs, bias):
    x = torch.randn(2, 5, 7, 4, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(outputs, 5, 3, 3, dtype=torch.float64, requires_grad=True)
    offset = torch.randn(outputs, dtype=torch.float64, requires_grad=True) if bias else None
    inputs = [t for t in (x, weight, offset) if t is not None]
    actual, expected = conv3x3_to_few(x, weight, offset), F.conv2d(x, weight, offset, padding=1)
    torch.testing.assert_close(actual, expected)
    for a, b in zip(
        torch.autograd.grad(actual.square().sum(), inputs),
        torch.autograd.grad(expected.square().sum(), inputs),
    ):
        torch.testing.assert_close(a, b)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = conv3x3_to_few(x.float(), weight.float(), offset)
    assert low.dtype == torch.bfloat16
    torch.testing.assert_close(low.double(), expected, atol=0.15, rtol=0.05)
