"""Projects of each trait go through the whole cycle with the three lines, or are refused."""

from __future__ import annotations

import pytest
import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.modeling import build_model
from detectron2.utils.events import EventStorage

import drfpn_da
from tests.foreign.conftest import Mine
from tests.tiny_detectors import flat_outputs, make_inputs, make_target

FEATURES = "MODEL.STRONG_WEAK.{}.FEATURES"
BLOCKS = (
    *("MODEL.BACKBONE.NAME", "build_stand_in_blocks"),
    *(FEATURES.format("LOCAL"), ["backbone.blocks.0"], FEATURES.format("GLOBAL"), ["last"]),
)
NESTED = (FEATURES.format("LOCAL"), ["p2"], FEATURES.format("GLOBAL"), ["p4"])
SEMANTIC = (
    *("DATASETS.TRAIN", ("foreign_labels",), "DATASETS.TEST", ("foreign_labels",)),
    *NESTED,
)
PROJECTS = {
    "losses as DETR's, a head that migrates by version": ("StandInDetector", NESTED),
    "blocks in (N, H, W, C)": ("StandInDetector", BLOCKS),
    "no backbone, no pixel_mean": ("StandInWithoutBackbone", NESTED),
    "mask classification": ("StandInMaskClassifier", SEMANTIC),
}


@pytest.mark.parametrize("project", PROJECTS)
def test_whole_cycle(config, project):
    architecture, options = PROJECTS[project]
    cfg = config(architecture, *options)
    whole = Mine(cfg)
    assert cfg.MODEL.META_ARCHITECTURE == architecture  # which the project may ask for
    assert hasattr(whole.model, "backbone") == (architecture != "StandInWithoutBackbone")
    whole.max_iter = 2
    whole.train()
    seen = whole.storage.histories()
    assert {k for k in seen if k.startswith("strong_weak/loss")} == {
        f"strong_weak/loss_{tap.label}_{domain}"
        for tap in whole.model.objectives["strong_weak"].taps
        for domain in ("source", "target")
    }
    assert whole._last_eval_results  # of the project's own evaluator

    resumed = Mine(cfg)
    resumed.resume_or_load(resume=True)
    assert resumed.start_iter == 2
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[name]), name
    resumed.train()
    assert resumed.iter == cfg.SOLVER.MAX_ITER

    plain = build_model(cfg)  # the project's code alone
    loaded = DetectionCheckpointer(plain).load(f"{cfg.OUTPUT_DIR}/model_final.pth")
    assert loaded["iteration"] == 3
    ours = {k for k in resumed.model.state_dict() if not k.startswith("objectives.")}
    assert ours == set(plain.state_dict())
    inputs = make_inputs()
    with torch.no_grad():
        expected = flat_outputs(resumed.model.eval()(inputs))
        found = flat_outputs(plain.eval()(inputs))
    assert all(torch.equal(a, b) for a, b in zip(expected, found)) and found


@pytest.mark.parametrize("architecture", ["StandInDetector", "StandInWithoutBackbone"])
def test_the_target_passes_the_backbone_alone(config, architecture):
    cfg = config(architecture, *NESTED)
    model = drfpn_da.adapt(build_model(cfg), cfg).train()
    seen = []
    model.head.score.register_forward_hook(lambda _m, inputs, _o: seen.append(len(inputs[0])))
    with EventStorage():
        losses = model([*make_inputs(2), *make_target(3)])
    assert seen == [2] and all(torch.isfinite(loss) for loss in losses.values())
    # Alike pictures of both domains: the discriminators see the same features.
    pictures = make_inputs(2)
    alike = [{"image": x["image"], "domain": "target"} for x in pictures]
    with EventStorage():
        step = {}
        handle = model.objectives["strong_weak"].register_forward_pre_hook(
            lambda _m, inputs: step.update(step=inputs[0])
        )
        model([*pictures, *alike])
        handle.remove()
    for name, feature in step["step"].source.features.items():
        assert torch.equal(feature, step["step"].target.features[name])
