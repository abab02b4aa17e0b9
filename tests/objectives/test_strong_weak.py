"""Strong-Weak alignment as an objective: contexts, schedules, scalars, precision, keys."""

import logging

import pytest
import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.modeling import build_model
from detectron2.utils.events import EventStorage

from drfpn_da.layers import GlobalDiscriminator, LocalDiscriminator
from drfpn_da.modeling import AdaptiveModel
from drfpn_da.objectives import AlignmentTap, StrongWeakAlignment
from drfpn_da.objectives.monitor import DomainMonitor
from tests.tiny_detectors import (
    adapted_config,
    flat_outputs,
    make_inputs,
    make_target,
    tiny_config,
)

WITH_CONTEXT = ("MODEL.STRONG_WEAK.CONTEXT.ENABLED", True)
RCNN = ["faster_rcnn", "faster_rcnn_c4", "cascade_mask_rcnn", "panoptic_fpn"]


def contextual_model(kind, *options):
    torch.manual_seed(0)
    return build_model(adapted_config(kind, *WITH_CONTEXT, *options))


def randomise_columns(model):
    generator = torch.Generator().manual_seed(0)
    for p in model.objectives["strong_weak"].columns.parameters():
        p.data.normal_(0, 0.5, generator=generator)


@pytest.mark.parametrize("kind", RCNN)
def test_contexts_start_as_nothing_and_train_without_touching_the_backbone(kind, tmp_path):
    plain = build_model(tiny_config(kind)).eval()
    model = contextual_model(kind)
    DetectionCheckpointer(plain, str(tmp_path)).save("plain")
    DetectionCheckpointer(model).load(str(tmp_path / "plain.pth"))
    with torch.no_grad():
        ours, theirs = model.eval()(make_inputs(1)), plain(make_inputs(1))
    assert all(map(torch.equal, flat_outputs(ours), flat_outputs(theirs)))

    randomise_columns(model)
    model.train()
    with EventStorage():
        losses = model([*make_inputs(), *make_target()])
    contexts = model.objectives["strong_weak"]
    box = [losses[k] for k in losses if "loss_cls" in k or "loss_box_reg" in k]
    sum(box).backward(retain_graph=True)
    for discriminator in contexts.discriminators.values():
        last = discriminator.fc if discriminator.kind == "global" else discriminator.conv3
        assert discriminator.conv1.weight.grad.norm() > 0
        assert last.weight.grad is None
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


def test_detection_loss_through_the_context_stops_at_the_feature():
    """With the box heads' ROI columns cut off, nothing of the detection loss gets through."""
    model = contextual_model("faster_rcnn").train()
    randomise_columns(model)
    predictor = model.detector.roi_heads.box_predictor
    for layer in (predictor.cls_score, predictor.bbox_pred):
        layer.weight.data.zero_()
    with EventStorage():
        losses = model([*make_inputs(), *make_target()])
    backbone = list(model.detector.backbone.parameters())
    found = torch.autograd.grad(
        losses["loss_cls"] + losses["loss_box_reg"], backbone, allow_unused=True
    )
    assert all(g is None or not g.any() for g in found)


def concatenated_scores(model, recording, roi_features, counts):
    """The published layout: one wide layer on [global, local, roi]."""
    objective = model.objectives["strong_weak"]
    tapped = {"global": "res4", "local": "res2"}
    contexts = [
        objective.discriminators[f"{kind}_{name}"].context(recording[name])
        for kind, name in tapped.items()
    ]
    per_roi = torch.cat(contexts, 1).repeat_interleave(torch.tensor(counts), 0)
    predictor = model.detector.roi_heads.box_predictor
    columns = objective.columns.stages[0]["cls_score"].weight
    wide = torch.cat([columns, predictor.cls_score.weight], 1)
    return torch.cat([per_roi, roi_features], 1) @ wide.t() + predictor.cls_score.bias


def test_every_roi_gets_the_context_of_its_own_picture_in_the_published_order():
    model = contextual_model("faster_rcnn").eval()
    randomise_columns(model)
    seen = {}

    def keep(module, inputs, output):
        seen["roi"], seen["scores"] = inputs[0], output[0]
        seen["recording"] = model._taps.current

    model.detector.roi_heads.box_predictor.register_forward_hook(keep)
    pictures = [make_inputs(1)[0], {**make_target(1)[0], "domain": "source"}]
    with torch.no_grad():
        together = model(pictures)
        counts = seen["recording"].cache["rois_per_picture"]
        expected = concatenated_scores(model, seen["recording"], seen["roi"], counts)
        torch.testing.assert_close(seen["scores"], expected)
        assert len(counts) == 2 and min(counts) > 0
        for picture, output in zip(pictures, together):
            alone = model([picture])[0]["instances"]
            torch.testing.assert_close(alone.scores, output["instances"].scores)


def test_inference_cost_without_and_with_contexts():
    model = build_model(adapted_config("faster_rcnn")).eval()
    calls = []
    for module in model.objectives.modules():
        module.register_forward_hook(lambda m, *_: calls.append(m))
    with torch.no_grad():
        model(make_inputs(1))
    assert not calls
    model = contextual_model("faster_rcnn").eval()
    objective = model.objectives["strong_weak"]
    for name, module in objective.discriminators.named_modules():
        module.register_forward_hook(lambda *_, name=name: calls.append(name))
    with torch.no_grad():
        model(make_inputs(1))
    assert sorted(n for n in calls if "conv" in n) == [
        *(f"global_res4.conv{i}" for i in (1, 2, 3)),
        *(f"local_res2.conv{i}" for i in (1, 2)),
    ]
    assert not any(n.endswith("fc") for n in calls)


def test_detector_alone_does_not_run_with_contexts():
    model = contextual_model("faster_rcnn").eval()
    with pytest.raises(RuntimeError, match="call the AdaptiveModel"):
        model.detector(make_inputs(1))


def test_scalars_are_recounted():
    torch.manual_seed(0)
    model = build_model(adapted_config("faster_rcnn")).train()
    objective = model.objectives["strong_weak"]
    with EventStorage() as storage:
        losses = model([*make_inputs(), *make_target()])
        sum(losses.values()).backward()
        first = {name: value for name, (value, _) in storage.latest().items()}
        storage.step()
        features = {}
        model._taps.require(["res2"])
        with model._taps.record() as recording:
            losses = model.detector.backbone(model.detector.preprocess_image(make_target()).tensor)
            features = dict(recording)
        probability = objective.discriminators["local_res2"](features["res2"]).sigmoid()
        model([*make_inputs(), *make_target()])
        second = {name: value for name, (value, _) in storage.latest().items()}
    name = "strong_weak/{}_local_res2_target"
    # Batch norm is in training mode: the same batch gives the same features.
    assert second[name.format("accuracy")] == pytest.approx((probability >= 0.5).float().mean())
    assert second[name.format("mean")] == pytest.approx(probability.mean().item(), abs=1e-6)
    assert "strong_weak/grad_norm_local_res2" not in first
    assert second["strong_weak/grad_norm_local_res2"] > 0
    assert first["strong_weak/grl"] == 1


@pytest.mark.parametrize("scale", [1.0, 65536.0, 0.25])
def test_gradient_norms_are_those_of_the_losses_at_any_scale(scale):
    """Whether float16 scales the sum of the losses up, or parts of a batch scale it down."""
    monitor = DomainMonitor("d", 10)
    with EventStorage() as storage:
        losses = []
        for values in ([3.0, 4.0], [0.0, 12.0]):
            feature = torch.tensor(values, requires_grad=True)
            losses.append(0.5 * (feature**2).sum())
            monitor.watch_gradient("tap", feature, losses[-1])
        (scale * sum(losses)).backward()
        assert feature.grad[1] == 12 * scale
        monitor.write()
        assert storage.latest()["d/grad_norm_tap"][0] == pytest.approx(5 + 12)


def test_start_values_of_untrained_discriminators():
    torch.manual_seed(0)
    model = build_model(adapted_config("faster_rcnn", "MODEL.STRONG_WEAK.LOCAL.INIT_STD", 0.001))
    for p in model.objectives["strong_weak"].discriminators["global_res4"].fc.parameters():
        p.data.zero_()
    with EventStorage():
        losses = model.train()([*make_inputs(), *make_target()])
    values = {k: v.item() for k, v in losses.items() if k.startswith("strong_weak/")}
    for domain in ("source", "target"):
        assert values[f"strong_weak/loss_local_res2_{domain}"] == pytest.approx(0.125, abs=1e-3)
        assert values[f"strong_weak/loss_global_res4_{domain}"] == pytest.approx(
            0.0108304, abs=1e-6
        )


def test_ramp_of_the_reversal():
    options = {"start_iter": 100, "max_iter": 1100}
    tap = AlignmentTap("res2", LocalDiscriminator(24))
    ramp = StrongWeakAlignment([tap], grl_schedule="dann", grl_coefficient=2.0, **options)
    assert ramp.coefficient(100) == 0
    assert ramp.coefficient(600) == pytest.approx(2 * 0.9866143)
    assert ramp.coefficient(1100) == pytest.approx(2 * 0.9999092)
    assert StrongWeakAlignment([tap]).coefficient(3) == 1.0


def test_from_python_with_shared_and_deep_taps():
    """Explicit parts, one discriminator for two levels, a module path as a tap."""
    torch.manual_seed(0)
    shared = LocalDiscriminator(64, channels=(16, 16))
    taps = [
        AlignmentTap("p2", shared, weight=0.5),
        AlignmentTap("p3", shared, weight=0.25),
        AlignmentTap(
            "backbone.bottom_up.features.11",
            GlobalDiscriminator(96, channels=(64, 64, 64), norm="GN"),
        ),
    ]
    detector = build_model(
        tiny_config("retinanet", "MODEL.DRFPN.IN_FEATURES", ["res2", "res3", "res4", "res5"])
    )
    model = AdaptiveModel(detector, [StrongWeakAlignment(taps)]).train()
    keys = {k.split(".")[3] for k in model.state_dict() if k.startswith("objectives")}
    assert keys == {"local", "global_backbone_bottom_up_features_11"}
    with EventStorage():
        losses = model([*make_inputs(), *make_target()])
    assert losses["strong_weak/loss_local_p3_source"].item() == pytest.approx(0.125 / 4, rel=0.2)
    sum(losses.values()).backward()


@pytest.mark.parametrize(
    ("kind", "options", "error", "message"),
    [
        ("retinanet", WITH_CONTEXT, ValueError, r"CONTEXT\.ENABLED needs ROI box heads"),
        ("fcos", WITH_CONTEXT, ValueError, "FCOS does not have"),
        (
            "faster_rcnn",
            ("MODEL.STRONG_WEAK.LOCAL.FEATURES", ["res7"]),
            KeyError,
            "unknown feature 'res7'",
        ),
        (
            "faster_rcnn",
            ("MODEL.STRONG_WEAK.LOCAL.WEIGHTS", [1.0, 2.0]),
            ValueError,
            r"LOCAL\.WEIGHTS \[1\.0, 2\.0\] must be one number",
        ),
        (
            "faster_rcnn",
            (
                *("MODEL.STRONG_WEAK.LOCAL.FEATURES", ["res2", "res3"]),
                *("MODEL.STRONG_WEAK.LOCAL.SHARED", True),
            ),
            ValueError,
            r"SHARED: \{'res2': 24, 'res3': 32\}",
        ),
        (
            "faster_rcnn",
            ("MODEL.STRONG_WEAK.LOCAL.ENABLED", False, "MODEL.STRONG_WEAK.GLOBAL.ENABLED", False),
            ValueError,
            "nothing to align",
        ),
        (
            "faster_rcnn",
            (*WITH_CONTEXT, "MODEL.STRONG_WEAK.CONTEXT.FEATURES", ["res3"]),
            ValueError,
            "'res3', which is not aligned",
        ),
        (
            "faster_rcnn",
            ("MODEL.STRONG_WEAK.GRL.SCHEDULE", "cosine"),
            ValueError,
            r"GRL\.SCHEDULE is 'cosine'",
        ),
    ],
)
def test_bad_keys_are_named(kind, options, error, message):
    with pytest.raises(error, match=message):
        build_model(adapted_config(kind, *options))


def test_channels_of_an_explicit_discriminator_are_checked():
    objective = StrongWeakAlignment([AlignmentTap("res2", LocalDiscriminator(256))])
    with pytest.raises(ValueError, match="'res2' takes 256 channels, but the feature has 24"):
        AdaptiveModel(build_model(tiny_config("faster_rcnn")), [objective])


def test_bfloat16_keeps_the_domain_losses_in_float32():
    torch.manual_seed(0)
    model = build_model(adapted_config("faster_rcnn", *WITH_CONTEXT)).train()
    seen = {}
    discriminator = model.objectives["strong_weak"].discriminators["local_res2"]
    for name, module in (
        ("local", discriminator.conv3),
        ("fpn", model.detector.backbone.fpn_output3),
    ):
        module.register_forward_hook(lambda m, i, o, name=name: seen.update({name: o.dtype}))
    torch.manual_seed(1)
    with EventStorage():
        expected = model([*make_inputs(), *make_target()])
    torch.manual_seed(1)
    with EventStorage(), torch.autocast("cpu", dtype=torch.bfloat16):
        losses = model([*make_inputs(), *make_target()])
    # The detector runs in bfloat16; on a CPU the discriminators do not.
    assert seen == {"local": torch.float32, "fpn": torch.bfloat16}
    for key, value in losses.items():
        if key.startswith("strong_weak"):
            assert value.dtype == torch.float32 and value.isfinite()
    total, reference = (sum(x.values()).item() for x in (losses, expected))
    assert total == pytest.approx(reference, rel=0.05)
    sum(losses.values()).backward()
    for p in model.objectives.parameters():
        assert p.grad.isfinite().all()


def judged(accuracies, caplog, warn_after=60, parts=1):
    monitor = DomainMonitor("strong_weak", warn_after)
    with EventStorage() as storage, caplog.at_level(logging.WARNING):
        for accuracy in accuracies:
            source = torch.where(torch.arange(100) < 100 * accuracy, 0.1, 0.9)
            for _ in range(parts):  # of an accumulated batch
                monitor.add("local_res2", 0, source)
                monitor.add("local_res2", 1, 1 - source)
                monitor.write()
            storage.step()
    return [record.message for record in caplog.records]


def test_warning_when_a_discriminator_is_perfect_or_blind(caplog):
    (message,) = judged([1.0] * 200, caplog)
    assert "local_res2 has told the domains apart" in message and "loss weight" in message
    caplog.clear()
    (message,) = judged([0.5] * 200, caplog)
    assert "has guessed" in message and "DATASETS.TARGET" in message
    caplog.clear()
    # Learnt first, then confused by the features: that is success.
    assert judged([0.8] * 100 + [0.5] * 300, caplog) == []
    # So it is where a warning is due after fewer steps than accuracies are usually averaged over.
    assert judged([0.8] * 10 + [0.5] * 30, caplog, warn_after=10) == []
    # A fault must last for so many iterations, however many parts a batch has.
    assert judged([1.0] * 59, caplog, parts=4) == []
    assert len(judged([1.0] * 60, caplog, parts=4)) == 1


def test_monitor_counts_cells_of_pictures_only():
    probability = torch.tensor([0.9, 0.2, 0.7, 0.4])
    among = torch.tensor([True, True, False, False])
    with EventStorage() as storage:
        monitor = DomainMonitor("da", 10)
        monitor.add("tap", 1, probability, among)
        monitor.write()
        latest = storage.latest()
    assert latest["da/accuracy_tap_target"][0] == 0.5
    assert latest["da/mean_tap_target"][0] == pytest.approx(0.55)
