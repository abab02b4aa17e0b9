"""Discriminators: padding does not matter, dropout has its own random numbers, errors."""

import pytest
import torch

from drfpn_da.functional import SOURCE, valid_cells
from drfpn_da.layers import GlobalDiscriminator, LocalDiscriminator

# (height, width) in pixels at stride 4; the batch is padded to the largest.
SIZES = [(64, 96), (50, 61), (36, 96)]


def padded_features(channels):
    """Features of three pictures in one batch, with rubbish on the padding, and each alone."""
    torch.manual_seed(0)
    x = torch.randn(3, channels, 16, 24, dtype=torch.double)
    mask = valid_cells(SIZES, 4, x)
    alone = [one[None, :, : -(-h // 4), : -(-w // 4)] for one, (h, w) in zip(x, SIZES)]
    return x, mask, alone


def build(kind, norm):
    if kind == "local":
        module = LocalDiscriminator(32, channels=(64, 32), norm=norm)
    else:
        module = GlobalDiscriminator(32, channels=(64, 32, 32), norm=norm, dropout=0.0)
    return module.double()


@pytest.mark.parametrize("kind", ["local", "global"])
@pytest.mark.parametrize(("norm", "training"), [("", True), ("GN", True), ("BN", False)])
def test_padding_changes_nothing(kind, norm, training):
    x, mask, alone = padded_features(32)
    module = build(kind, norm).train(training)
    logits = module(x, mask)
    loss = module.domain_loss(logits, SOURCE, mask)
    singles = [module(one) for one in alone]
    expected = torch.stack([module.domain_loss(one, SOURCE) for one in singles]).mean()
    torch.testing.assert_close(loss, expected)
    contexts = torch.cat([module.context(one) for one in alone])
    torch.testing.assert_close(module.context(x, mask), contexts)
    probability = torch.cat([module.target_probability(one) for one in singles])
    torch.testing.assert_close(module.target_probability(logits, mask), probability)


def test_batch_statistics_leave_the_padding_out():
    x, mask, _ = padded_features(32)
    rubbish = torch.where(mask, x, torch.full_like(x, 1e3))
    first, second = build("global", "BN"), build("global", "BN")
    second.load_state_dict(first.state_dict())
    torch.testing.assert_close(first.train()(x, mask), second.train()(rubbish, mask))
    torch.testing.assert_close(first.bn1.running_var, second.bn1.running_var)


def test_dropout_uses_its_generator_and_leaves_the_global_one_alone():
    module = GlobalDiscriminator(8, channels=(32, 32, 32), norm="GN").train()
    x = torch.randn(2, 8, 16, 24)
    torch.manual_seed(3)
    expected_next = torch.rand(1)

    def run(seed):
        module.generator = torch.Generator().manual_seed(seed)
        return module(x)

    torch.manual_seed(3)
    first, again, other = run(1), run(1), run(2)
    assert torch.equal(torch.rand(1), expected_next)
    assert torch.equal(first, again) and not torch.equal(first, other)
    module.eval()
    assert torch.equal(run(1), run(2))


def test_dropout_keeps_the_mean():
    from drfpn_da.layers.masked import dropout

    x = torch.ones(100000)
    dropped = dropout(x, 0.3, torch.Generator().manual_seed(0))
    assert dropped.mean().item() == pytest.approx(1, abs=0.01)
    assert (dropped == 0).float().mean().item() == pytest.approx(0.3, abs=0.01)


def test_maps_too_small_for_batch_norm_say_so():
    module = GlobalDiscriminator(8, channels=(8, 8, 8), norm="BN").train()
    with pytest.raises(ValueError, match=r"too small.*MODEL\.STRONG_WEAK\.GLOBAL\.NORM GN"):
        module(torch.rand(1, 8, 8, 8))
    module(torch.rand(2, 8, 8, 8))
    with pytest.raises(ValueError, match="single value per group"):
        GlobalDiscriminator(8, channels=(32, 32, 32), norm="GN")(torch.rand(1, 8, 8, 8))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: GlobalDiscriminator(8, channels=(8, 8)), "must be 3 positive widths"),
        (lambda: LocalDiscriminator(8, channels=(8, 0)), "must be 2 positive widths"),
        (lambda: GlobalDiscriminator(8, dropout=1.0), "DROPOUT"),
        (lambda: GlobalDiscriminator(8, gamma=-1.0), "GAMMA"),
        (lambda: LocalDiscriminator(8, norm="XN"), "unknown norm 'XN'"),
    ],
)
def test_bad_arguments(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_published_initialisation():
    torch.manual_seed(0)
    module = LocalDiscriminator(256, init_std=0.01)
    assert module.conv1.weight.std().item() == pytest.approx(0.01, rel=0.02)
    assert LocalDiscriminator(256).conv1.weight.std().item() == pytest.approx(0.036, rel=0.02)
