"""AdaptiveModel: a plain detector's keys and outputs, one pass per domain, any objective."""

import pytest
import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.modeling import build_model
from detectron2.utils.events import EventStorage

from drfpn_da.modeling import AdaptiveModel, FeatureTaps
from drfpn_da.objectives import OBJECTIVE_REGISTRY, Objective
from tests.tiny_detectors import (
    CONFIGS,
    adapted_config,
    flat_outputs,
    make_inputs,
    make_target,
    tiny_config,
    total_loss,
)


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_plain_detector_in_all_but_training(kind, tmp_path):
    """Keys, evaluation and checkpoints are the detector's; training aligns its features."""
    torch.manual_seed(0)
    plain = build_model(tiny_config(kind)).eval()
    model = build_model(adapted_config(kind))
    own = [key for key in model.state_dict() if not key.startswith("objectives.")]
    assert own == list(plain.state_dict())

    DetectionCheckpointer(plain, str(tmp_path)).save("plain")
    DetectionCheckpointer(model).load(str(tmp_path / "plain.pth"))
    with torch.no_grad():
        ours, theirs = model.eval()(make_inputs(1)), plain(make_inputs(1))
    assert len(flat_outputs(ours)) == len(flat_outputs(theirs)) > 0
    assert all(map(torch.equal, flat_outputs(ours), flat_outputs(theirs)))

    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    with EventStorage():
        losses = model.train()([*make_inputs(), *make_target()])
    names = {k for k in losses if k.startswith("strong_weak/")}
    assert names == {
        f"strong_weak/loss_{tap}_{domain}"
        for tap in ("global_res4", "local_res2")
        for domain in ("source", "target")
    }
    sum(losses.values()).backward()
    optimizer.step()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    assert all(torch.isfinite(value).all() for value in losses.values())

    DetectionCheckpointer(model, str(tmp_path)).save("adapted")
    checkpoint = torch.load(tmp_path / "adapted.pth", weights_only=True)["model"]
    plain.load_state_dict({k: v for k, v in checkpoint.items() if not k.startswith("objectives.")})
    with torch.no_grad():
        ours, theirs = model.eval()(make_inputs(1)), plain(make_inputs(1))
    assert all(map(torch.equal, flat_outputs(ours), flat_outputs(theirs)))


WHAT = {
    "local": ("MODEL.STRONG_WEAK.GLOBAL.ENABLED", False),
    "global": ("MODEL.STRONG_WEAK.LOCAL.ENABLED", False),
    "both": (),
    "contexts": ("MODEL.STRONG_WEAK.CONTEXT.ENABLED", True),
}
ONE_STAGE = ("retinanet", "fcos", "sem_seg")


@pytest.mark.slow
@pytest.mark.parametrize("what", WHAT)
@pytest.mark.parametrize("kind", CONFIGS)
def test_every_detector_with_every_alignment_trains_and_is_saved(kind, what, tmp_path):
    """Three steps, the domain losses' gradients at their taps, predictions, a checkpoint."""
    torch.manual_seed(0)
    cfg = adapted_config(kind, *WHAT[what])
    if what == "contexts" and kind in ONE_STAGE:
        with pytest.raises(ValueError, match="context"):
            build_model(cfg)
        return
    model = build_model(cfg).train()
    tapped = ({"local": ["res2"], "global": ["res4"]}).get(what, ["res2", "res4"])
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1e-4)
    for _ in range(3):
        with EventStorage() as storage:
            losses = model([*make_inputs(), *make_target()])
            optimizer.zero_grad()
            sum(losses.values()).backward()
            storage.step()
            # Norms of a step's gradients are written with the next step's scalars.
            model([*make_inputs(), *make_target()])
            gradients = {k: v[0] for k, v in storage.latest().items() if "/grad_norm_" in k}
        optimizer.step()
        assert all(value.isfinite().all() for value in losses.values())
        assert sorted(k.rsplit("_", 1)[1] for k in gradients) == tapped
        assert all(norm > 0 for norm in gradients.values())
    model.eval()
    with torch.no_grad():
        before = flat_outputs(model(make_inputs(1)))
        DetectionCheckpointer(model, str(tmp_path)).save("adapted")
        again = build_model(cfg).eval()
        DetectionCheckpointer(again).load(str(tmp_path / "adapted.pth"))
        assert all(map(torch.equal, before, flat_outputs(again(make_inputs(1)))))


def test_the_domain_loss_reaches_every_tapped_stage():
    torch.manual_seed(0)
    model = build_model(adapted_config("faster_rcnn_c4")).train()
    with EventStorage():
        losses = model([*make_inputs(), *make_target()])
    local = sum(value for key, value in losses.items() if "/loss_local" in key)
    local.backward(retain_graph=True)
    backbone = model.detector.backbone
    assert backbone.res2[0].conv1.weight.grad.norm() > 0
    assert backbone.res3[0].conv1.weight.grad is None
    sum(value for key, value in losses.items() if "/loss_global" in key).backward()
    assert backbone.res4[0].conv1.weight.grad.norm() > 0


def test_without_weight_the_detector_trains_as_on_source_alone():
    """Losses, gradients and the global random numbers are those of the plain detector."""
    torch.manual_seed(0)
    plain = build_model(tiny_config("faster_rcnn", "MODEL.MOBILENETV2.NORM", "FrozenBN")).train()
    options = ("MODEL.STRONG_WEAK.LOSS_WEIGHT", 0.0, "MODEL.MOBILENETV2.NORM", "FrozenBN")
    model = build_model(adapted_config("faster_rcnn", *options)).train()
    model.load_state_dict(plain.state_dict(), strict=False)
    after = []
    for one, inputs in ((plain, make_inputs()), (model, [*make_inputs(), *make_target()])):
        torch.manual_seed(5)
        with EventStorage():
            losses = one(inputs)
        sum(losses.values()).backward()
        gradients = {name: p.grad for name, p in getattr(one, "detector", one).named_parameters()}
        after.append((losses, gradients, torch.get_rng_state()))
    (losses, gradients, state), (adapted_losses, adapted_gradients, adapted_state) = after
    assert all(torch.equal(adapted_losses[key], value) for key, value in losses.items())
    assert all(torch.equal(adapted_gradients[key], value) for key, value in gradients.items())
    assert torch.equal(state, adapted_state)


def test_the_target_stops_at_the_backbone_and_cannot_reach_the_detector_losses():
    torch.manual_seed(0)
    model = build_model(adapted_config("faster_rcnn")).train()
    calls = {"backbone": 0, "proposal_generator": 0, "roi_heads": 0}

    def count(name):
        def hook(*_):
            calls[name] += 1

        return hook

    for name in calls:
        getattr(model.detector, name).register_forward_hook(count(name))
    torch.manual_seed(1)
    with EventStorage():
        losses = model([*make_inputs(), *make_target()])
    # The target pass ends within the backbone, at res4.
    assert calls == {"backbone": 1, "proposal_generator": 1, "roi_heads": 1}
    bad = make_target()
    for x in bad:
        x["image"] = torch.full((3, 64, 96), float("nan"))
    torch.manual_seed(1)
    with EventStorage():
        with_nan = model([*make_inputs(), *bad])
    for key, value in losses.items():
        if key.endswith("_target"):
            assert with_nan[key].isnan()
        elif "strong_weak" not in key:
            # Batch norm is in training mode, but the source passes first.
            assert torch.equal(with_nan[key], value), key


def test_before_start_iter_every_parameter_takes_part_in_an_idle_zero():
    model = build_model(adapted_config("faster_rcnn", "MODEL.STRONG_WEAK.START_ITER", 2)).train()
    with EventStorage(1):
        losses = model(make_inputs())  # no target needed yet
    assert losses["strong_weak/loss_idle"] == 0
    losses["strong_weak/loss_idle"].backward()
    assert all(p.grad is not None and not p.grad.any() for p in model.objectives.parameters())
    with EventStorage(2):
        assert "strong_weak/loss_local_res2_target" in model([*make_inputs(), *make_target()])
        with pytest.raises(ValueError, match=r"\['strong_weak'\] need target.*DATASETS\.TARGET"):
            model(make_inputs())


# A whole objective: what a user writes.
class BrightnessAgreement(Objective):
    """Toy: the mean of one feature should be the same in both domains; labels the target."""

    name = "brightness"
    needs_teacher = True

    def __init__(self, cfg, features):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(features.shape("p3").channels))

    def attach(self, detector, taps):
        taps.require(["p3"])

    def label_target(self, step):
        step.teacher.detector.eval()
        with torch.no_grad():
            predicted = step.teacher.detector(step.target_inputs)
        assert len(predicted) == len(step.target_inputs)
        return [{**x, "instances": make_inputs(1)[0]["instances"]} for x in step.target_inputs]

    def forward(self, step):
        source, target = (x.features["p3"].mean((0, 2, 3)) for x in (step.source, step.target))
        mean = ((source - target) * self.scale).pow(2).mean()
        return {"loss_mean": mean, "loss_target_cls": step.target.losses["loss_cls"]}


def test_a_toy_objective_registered_from_outside():
    OBJECTIVE_REGISTRY._do_register("BrightnessAgreement", BrightnessAgreement)
    try:
        options = ("MODEL.ADAPT.OBJECTIVES", ["BrightnessAgreement", "StrongWeakAlignment"])
        model = build_model(adapted_config("faster_rcnn", *options)).train()
    finally:
        del OBJECTIVE_REGISTRY._obj_map["BrightnessAgreement"]
    with EventStorage():
        losses = model([*make_inputs(), *make_target()])
    assert {"brightness/loss_mean", "brightness/loss_target_cls"} < set(losses)
    assert "strong_weak/loss_local_res2_target" in losses
    sum(losses.values()).backward()
    assert "objectives.brightness.scale" in model.state_dict()
    assert model.objectives["brightness"].scale.grad is not None


def test_two_labellers_that_do_not_say_so_are_refused_in_the_step():
    class Again(BrightnessAgreement):
        name = "again"

    plain = build_model(tiny_config("faster_rcnn"))
    cfg, taps = tiny_config("faster_rcnn"), FeatureTaps(plain)
    model = AdaptiveModel(plain, [BrightnessAgreement(cfg, taps), Again(cfg, taps)]).train()
    with EventStorage(), pytest.raises(ValueError, match=r"'BrightnessAgreement', 'Again'\] all"):
        model([*make_inputs(), *make_target()])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (["MODEL.ADAPT.OBJECTIVES", ["Nothing"]], KeyError, "registered are: .*StrongWeak"),
        (["MODEL.ADAPT.DETECTOR", "AdaptiveModel"], ValueError, "detector inside AdaptiveModel"),
        (["MODEL.ADAPT.BASELINE", "orakel"], ValueError, "BASELINE is 'orakel'"),
        (["MODEL.TEACHER.EVAL", "both"], ValueError, "TEACHER.EVAL is 'both'"),
        (
            ["MODEL.ADAPT.OBJECTIVES", ["StrongWeakAlignment"] * 2],
            ValueError,
            "two objectives have one name",
        ),
    ],
)
def test_bad_keys_are_named(options, error, message):
    with pytest.raises(error, match=message):
        build_model(adapted_config("faster_rcnn", *options))


def test_frozen_tap_is_refused_with_the_key():
    with pytest.raises(ValueError, match=r"\['res2'\] are tapped.*FREEZE_AT"):
        build_model(adapted_config("faster_rcnn_c4", "MODEL.BACKBONE.FREEZE_AT", 2))


def test_baselines_have_no_objective():
    for baseline in ("source_only", "oracle"):
        model = build_model(adapted_config("faster_rcnn", "MODEL.ADAPT.BASELINE", baseline))
        assert isinstance(model, AdaptiveModel) and not model.objectives
        assert total_loss(model.train(), make_inputs()).isfinite()


def test_unknown_domain_and_missing_source():
    model = build_model(adapted_config("faster_rcnn")).train()
    with EventStorage(), pytest.raises(ValueError, match="no source picture"):
        model(make_target())
    with EventStorage(), pytest.raises(ValueError, match="domain is \\['moon'\\]"):
        model([{**make_inputs(1)[0], "domain": "moon"}])
