"""Clipping by the norm of the whole model: numbers, both kinds of config, loss scale, refusals."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from drfpn_da import model_zoo
from drfpn_da.config.setup import base_cfg
from drfpn_da.engine.clipping import clip_gradients
from drfpn_da.engine.optimizer import build_optimizer
from tests.integration.shipped_runs import run_lazy


def config(*options):
    cfg = base_cfg()
    clip = "SOLVER.CLIP_GRADIENTS"
    cfg.merge_from_list(
        [
            *(
                f"{clip}.ENABLED",
                True,
                f"{clip}.CLIP_TYPE",
                "full_model",
                f"{clip}.CLIP_VALUE",
                2.0,
            ),
            *("SOLVER.BASE_LR", 1.0, "SOLVER.MOMENTUM", 0.0, "SOLVER.WEIGHT_DECAY", 0.0),
            *("SOLVER.WEIGHT_DECAY_NORM", 0.0, *options),
        ]
    )
    return cfg


def moved(optimizer, model, *gradients):
    """How far a step with these gradients moves the parameters."""
    before = [p.detach().clone() for p in model.parameters()]
    for parameter, value in zip(model.parameters(), gradients):
        parameter.grad = torch.full_like(parameter, value)
    optimizer.step()
    return [b - p.detach() for b, p in zip(before, model.parameters())]


@pytest.mark.parametrize("factors", [[], [["weight", 1.0]]])
def test_the_whole_gradient_is_scaled_to_the_bound(factors):
    model = nn.Linear(2, 2)  # four weights, two biases
    optimizer = build_optimizer(config("SOLVER.LR_FACTORS", factors), model)
    weight, bias = moved(optimizer, model, 3.0, 4.0)
    scale = 2 / (4 * 3.0**2 + 2 * 4.0**2) ** 0.5
    torch.testing.assert_close(weight, torch.full((2, 2), 3 * scale), rtol=1e-5, atol=0)
    torch.testing.assert_close(bias, torch.full((2,), 4 * scale), rtol=1e-5, atol=0)
    weight, bias = moved(optimizer, model, 0.5, 0.25)
    torch.testing.assert_close(weight, torch.full((2, 2), 0.5), rtol=1e-5, atol=0)


def test_other_norms_and_adam():
    model = nn.Linear(2, 2)
    cfg = config("SOLVER.CLIP_GRADIENTS.NORM_TYPE", float("inf"), "SOLVER.OPTIMIZER", "Adam")
    optimizer = build_optimizer(cfg, model)
    moved(optimizer, model, 3.0, 4.0)
    assert float(model.weight.grad.max()) == pytest.approx(1.5, rel=1e-5)
    assert float(model.bias.grad.max()) == pytest.approx(2.0, rel=1e-5)


@pytest.mark.parametrize("kind", ["value", "norm"])
def test_the_ways_of_detectron2_stay(kind):
    model = nn.Linear(2, 2)
    optimizer = build_optimizer(config("SOLVER.CLIP_GRADIENTS.CLIP_TYPE", kind), model)
    weight, bias = moved(optimizer, model, 3.0, 1.0)
    expected = 2.0 if kind == "value" else 1.0
    torch.testing.assert_close(weight, torch.full((2, 2), expected), rtol=1e-5, atol=0)
    torch.testing.assert_close(bias, torch.full((2,), 1.0), rtol=1e-5, atol=0)


def test_the_bound_is_of_gradients_without_the_loss_scale():
    model = nn.Linear(1, 1, bias=False)
    optimizer = clip_gradients(torch.optim.SGD(model.parameters(), lr=1.0), clip_value=2.0)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    before = copy.deepcopy(model)
    loss = 3 * model(torch.ones(1, 1)).sum()
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    torch.testing.assert_close(before.weight - model.weight, torch.full((1, 1), 2.0))


def test_an_unknown_way_is_refused_by_name():
    with pytest.raises(ValueError, match=r"CLIP_TYPE is 'all'; write one of value, norm, full"):
        build_optimizer(config("SOLVER.CLIP_GRADIENTS.CLIP_TYPE", "all"), nn.Linear(1, 1))


def test_a_lazy_config_clips_too(tmp_path, monkeypatch):
    clip, norms = torch.nn.utils.clip_grad_norm_, []

    def noted(parameters, bound, norm_type):
        norms.append((float(clip(parameters, bound, norm_type)), bound, norm_type))

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", noted)
    cfg = model_zoo.get_config("drfpn/lazy/faster_rcnn_mobilenetv2_drfpn_mini.py")
    cfg.train.clip_gradients = {"clip_type": "full_model", "clip_value": 0.5}
    run_lazy(cfg, tmp_path, monkeypatch)
    assert len(norms) == 2 and all(norm > 0.5 and rest == [0.5, 2.0] for norm, *rest in norms)
