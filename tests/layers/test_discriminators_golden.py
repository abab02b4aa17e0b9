"""Discriminators and domain losses against the published numbers (tests/golden/swda.json)."""

import pytest
import torch

from drfpn_da.functional import SOURCE, TARGET, focal_domain_loss, least_squares_domain_loss
from drfpn_da.layers import GlobalDiscriminator, LocalDiscriminator
from tests.golden_fill import assert_close, fill, published, wave

GOLDEN = published("swda")
KINDS = ("vgg", "resnet")
CHANNELS = {"vgg": 512, "resnet": 1024}
EXACT = {"atol": 1e-10, "rtol": 1e-10}


def filled_local(kind):
    module = LocalDiscriminator(256, input_relu=GOLDEN[kind]["relu_on_local_input"]).double()
    fill(module, GOLDEN[kind]["fill_local"])
    return module.eval()


def filled_global(kind, **options):
    module = GlobalDiscriminator(CHANNELS[kind], norm="BN", **options).double()
    fill(module, GOLDEN[kind]["fill_global"])
    return module.eval()


def local_input():
    return wave((1, 256, 9, 13), 3, 0.7)


def global_input(kind):
    return wave((1, CHANNELS[kind], 9, 13), 5, 0.7)


@pytest.mark.parametrize("kind", KINDS)
def test_parameter_counts(kind):
    counts = GOLDEN[kind]["parameters"]
    local, whole = LocalDiscriminator(256), GlobalDiscriminator(CHANNELS[kind], norm="BN")
    assert sum(p.numel() for p in local.parameters()) == counts["local"] == 98432
    assert sum(p.numel() for p in whole.parameters()) == counts["global"]


@pytest.mark.parametrize("kind", KINDS)
def test_outputs_and_contexts(kind):
    golden = GOLDEN[kind]["eval"]
    local, whole = filled_local(kind), filled_global(kind)
    probability = local(local_input()).sigmoid()
    assert_close(probability.mean(), golden["local"]["D_mean"], "mean", **EXACT)
    for index, value in golden["local"]["D_entries"].items():
        assert_close(probability.flatten()[int(index)], value, f"D[{index}]", **EXACT)
    assert_close(local.context(local_input()), golden["local"]["context"], "context", **EXACT)
    logits = whole(global_input(kind))
    assert_close(logits, golden["global"]["logits"], "logits", **EXACT)
    context = whole.context(global_input(kind))
    assert_close(context, golden["global"]["context"], "global context", **EXACT)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("domain", [SOURCE, TARGET])
def test_losses_of_the_discriminators(kind, domain):
    losses = GOLDEN[kind]["eval"]["losses"]
    word = ("source", "target")[domain]
    local, whole = filled_local(kind), filled_global(kind)
    least_squares = local.domain_loss(local(local_input()), domain)
    assert_close(least_squares, losses[f"ls_{word}"], "least squares", **EXACT)
    logits = whole(global_input(kind))
    for gamma in (0, 3, 5):
        loss = focal_domain_loss(logits, domain, gamma)
        assert_close(loss, losses[f"focal_gamma{gamma}_{word}"], f"gamma {gamma}", **EXACT)
    loss = filled_global(kind, exponential=True).domain_loss(logits, domain)
    assert_close(loss, losses[f"exp_focal_gamma5_{word}"], "exponential", **EXACT)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "case",
    [
        "ls_source",
        "ls_target",
        "focal_gamma5_source",
        "focal_gamma5_target",
        "exp_focal_gamma5_source",
    ],
)
def test_gradients(kind, case):
    norms = GOLDEN[kind]["eval"]["grad_norm"][case]
    domain = TARGET if case.endswith("target") else SOURCE
    if case.startswith("ls"):
        module, x = filled_local(kind), local_input().requires_grad_()
    else:
        module = filled_global(kind, exponential=case.startswith("exp"))
        x = global_input(kind).requires_grad_()
    module.domain_loss(module(x), domain).backward()
    parameters = dict(module.named_parameters())
    for name, norm in norms.items():
        gradient = x.grad if name == "input" else parameters[name].grad
        assert_close(gradient.norm(), norm, name, **EXACT)
    entries = GOLDEN[kind]["eval"]["input_grad_entries"].get(case, {})
    for index, value in entries.items():
        assert_close(x.grad.flatten()[int(index)], value, f"gradient[{index}]", **EXACT)


@pytest.mark.parametrize("kind", KINDS)
def test_training_statistics_without_dropout(kind):
    golden = GOLDEN[kind]["train_without_dropout"]
    module = filled_global(kind, dropout=0.0).train()
    logits = module(wave((2, CHANNELS[kind], 17, 33), 5, 0.7))
    assert_close(logits, golden["logits"], "logits", **EXACT)
    loss = module.domain_loss(logits, SOURCE)
    assert_close(loss, golden["focal_gamma5_source"], "loss", **EXACT)
    state = module.state_dict()
    for name, expected in golden["buffers_after"].items():
        assert_close(state[name].double().mean(), expected["mean"], name, **EXACT)
        for index, value in expected["entries"].items():
            assert_close(state[name].flatten()[int(index)], value, f"{name}[{index}]", **EXACT)


@pytest.mark.parametrize("name", [n for n in GOLDEN["losses_batch6"] if n != "logits"])
def test_losses_of_a_batch(name):
    logits = 3 * wave((6, 2), 0.2, 1.3)
    kind, gamma, word = name.rsplit("_", 2)
    domain = {"source": SOURCE, "target": TARGET}[word]
    loss = focal_domain_loss(logits, domain, int(gamma[5:]), exponential=kind.startswith("exp"))
    # Without the factor 1/2 in this table.
    assert_close(2 * loss, GOLDEN["losses_batch6"][name], name, **EXACT)


def test_start_values():
    golden, equal = GOLDEN["start_values"], torch.zeros(4, 2, dtype=torch.double)
    focal = 2 * focal_domain_loss(equal, SOURCE)
    assert_close(focal, golden["focal_gamma5_equal_logits"], **EXACT)
    exponential = 2 * focal_domain_loss(equal, TARGET, exponential=True)
    assert_close(exponential, golden["exp_focal_gamma5_equal_logits"], **EXACT)
    half = least_squares_domain_loss(torch.zeros(2, 1, 3, 3, dtype=torch.double), TARGET)
    assert_close(half, golden["half_least_squares_D_0.5"], **EXACT)
    assert_close(focal + 2 * half, golden["sum_of_four_domain_losses"], **EXACT)
