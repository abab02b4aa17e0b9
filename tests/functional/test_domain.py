"""Gradient reversal and domain losses: signs, extremes, precision, ramps."""

import math

import pytest
import torch

from drfpn_da.functional import (
    SOURCE,
    TARGET,
    dann_ramp,
    focal_domain_loss,
    least_squares_domain_loss,
    reverse_gradient,
    valid_cells,
)
from drfpn_da.layers import LocalDiscriminator


def gradients(coefficient):
    torch.manual_seed(0)
    discriminator = LocalDiscriminator(6, channels=(5, 4)).double()
    x = torch.rand(2, 6, 3, 4, dtype=torch.double, requires_grad=True)
    feature = x if coefficient is None else reverse_gradient(x, coefficient)
    discriminator.domain_loss(discriminator(feature), TARGET).backward()
    return x.grad, [p.grad for p in discriminator.parameters()]


@pytest.mark.parametrize("coefficient", [1.0, 0.3, 0.0])
def test_reversal_negates_the_feature_gradient_and_no_other(coefficient):
    plain, own = gradients(None)
    reversed_, own_after = gradients(coefficient)
    assert torch.equal(reversed_, -coefficient * plain)
    assert plain.abs().sum() > 0 and all(map(torch.equal, own, own_after))


def test_finite_differences_agree_with_the_discriminator_but_not_with_the_reversal():
    torch.manual_seed(0)
    discriminator = LocalDiscriminator(3, channels=(4, 4)).double()
    x = torch.rand(1, 3, 2, 2, dtype=torch.double, requires_grad=True)

    def loss(x):
        return discriminator.domain_loss(discriminator(x), SOURCE)

    assert torch.autograd.gradcheck(loss, x)
    with pytest.raises(RuntimeError, match="Jacobian mismatch"):
        torch.autograd.gradcheck(lambda x: loss(reverse_gradient(x)), x)


def test_a_step_of_the_discriminator_lowers_its_loss_and_a_step_of_the_feature_raises_it():
    torch.manual_seed(0)
    discriminator = LocalDiscriminator(6, channels=(8, 8))
    x = torch.rand(2, 6, 3, 4, requires_grad=True)

    def loss():
        return discriminator.domain_loss(discriminator(reverse_gradient(x)), TARGET)

    before = loss()
    before.backward()
    with torch.no_grad():
        x -= 5 * x.grad
        assert loss() > before
        x += 5 * x.grad
        for p in discriminator.parameters():
            p -= 0.1 * p.grad
        assert loss() < before


def test_ramp():
    assert dann_ramp(0) == 0 and dann_ramp(-3) == 0
    assert dann_ramp(0.5) == pytest.approx(2 / (1 + math.exp(-5)) - 1)
    assert dann_ramp(2) == dann_ramp(1) == pytest.approx(0.99990920)


@pytest.mark.parametrize("gap", [0.0, 20.0, 200.0, 1000.0])
@pytest.mark.parametrize("exponential", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_focal_loss_of_a_saturated_discriminator_is_finite(gap, exponential, dtype):
    """The published softmax().log() gives NaN gradients from a gap of about 100."""
    logits = torch.tensor([[gap, -gap]], dtype=dtype, requires_grad=True)
    for domain in (SOURCE, TARGET):
        loss = focal_domain_loss(logits, domain, exponential=exponential)
        assert loss.dtype == torch.float32 and loss.isfinite()
        (gradient,) = torch.autograd.grad(loss, logits)
        assert gradient.isfinite().all()
    # Wrong by `2 * gap`: the loss is half of that, undamped.
    assert focal_domain_loss(logits, TARGET).item() == pytest.approx(
        gap if gap else math.log(2) / 2 * 0.5**5, rel=1e-2
    )


def test_every_picture_counts_the_same_whatever_its_size():
    logits = torch.zeros(2, 1, 4, 4, dtype=torch.double)
    logits[0] = 3.0
    logits[1, :, :2, :2] = -2.0
    logits[1, :, 2:, 2:] = 50.0  # on padding
    mask = valid_cells([(64, 64), (32, 32)], 16, logits)
    loss = least_squares_domain_loss(logits, SOURCE, mask)
    first, second = (1 / (1 + math.exp(-value)) for value in (3.0, -2.0))
    assert loss.item() == pytest.approx(0.5 * (first**2 + second**2) / 2)
