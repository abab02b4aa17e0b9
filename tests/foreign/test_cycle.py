"""Projects of each trait go through the whole cycle with the three lines, or are refused."""

from __future__ import annotations

import pytest
import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.data import DatasetMapper, build_detection_train_loader
from detectron2.data import transforms as T
from detectron2.engine import HookBase
from detectron2.modeling import build_model
from detectron2.solver.build import get_default_optimizer_params
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


def test_a_checkpoint_of_the_first_format_loads_as_in_the_plain_detector(config, tmp_path):
    """Its head says by its version that `cls` is `score` now; what is called so, is not."""
    cfg = config("StandInDetector", *NESTED, "MODEL.TEACHER.ENABLED", True)
    plain = build_model(cfg)
    old = {name: torch.rand_like(tensor) for name, tensor in plain.state_dict().items()}
    for end in ("weight", "bias"):
        old[f"head.cls.{end}"] = torch.rand_like(old[f"head.score.{end}"])
    torch.save({"model": old}, tmp_path / "old.pth")
    adapted = drfpn_da.adapt(build_model(cfg), cfg)
    for model in (plain, adapted):
        DetectionCheckpointer(model).load(str(tmp_path / "old.pth"))
    assert torch.equal(plain.head.score.weight, old["head.cls.weight"])
    for name, tensor in plain.state_dict().items():
        assert torch.equal(adapted.state_dict()[name], tensor), name
        assert torch.equal(adapted.state_dict()[f"teacher.{name}.ema"], tensor), name


class ByName(Mine):
    """Rates by the beginning of a parameter's name; a loader that asks for the architecture."""

    @classmethod
    def build_optimizer(cls, cfg, model):
        def factor(name):
            return 0.1 if name.startswith(("backbone.blocks", "backbone.pos_embed")) else 1.0

        groups = get_default_optimizer_params(model, base_lr=0.01, lr_factor_func=factor)
        return torch.optim.AdamW(groups)

    @classmethod
    def build_train_loader(cls, cfg):
        assert cfg.MODEL.META_ARCHITECTURE == "StandInDetector"
        mapper = DatasetMapper(cfg, True, augmentations=[T.RandomBrightness(0.5, 1.5)])
        return drfpn_da.add_target(build_detection_train_loader(cfg, mapper=mapper), cfg)


def test_what_is_chosen_by_name_stays_chosen(config):
    trainer = ByName(config("StandInDetector", *BLOCKS))
    rates = {id(p): g["initial_lr"] for g in trainer.optimizer.param_groups for p in g["params"]}
    slow = {n for n, p in trainer.model.named_parameters() if rates[id(p)] < 0.01}
    assert slow == {
        n for n, _ in trainer.model.detector.named_parameters() if "block" in n or "pos" in n
    }
    trainer.max_iter = 1
    trainer._hooks = []
    trainer.train()
    batch = next(iter(trainer._trainer._data_loader_iter))
    assert [x.get("domain") for x in batch] == [None, None, "target", "target"]
    assert all(x["image"].shape[1:] == (x["height"], x["width"]) for x in batch[:2])


def test_a_validation_loss_is_of_labels_alone(config):
    cfg = config("StandInDetector", *NESTED, "MODEL.TEACHER.ENABLED", True)
    cfg.SOLVER.MAX_ITER, cfg.SOLVER.STEPS, cfg.DATASETS.TEST = 2, (1,), ()
    seen = []

    class ValidationLoss(HookBase):
        def after_step(self):
            with EventStorage(), torch.no_grad():
                seen.append(self.trainer.model(make_inputs(2)))

    trainer = Mine(cfg)
    trainer.register_hooks([ValidationLoss()])
    trainer.train()
    assert [set(losses) for losses in seen] == [{"loss_ce", "loss_bbox"}] * 2
    assert trainer.model.teacher.updates == 1


@pytest.mark.parametrize("trainer", [Mine, drfpn_da.Trainer])
def test_precise_norms_are_refused_before_training(config, trainer):
    """detectron2's hook would stop at the second batch that a norm sees in one pass."""
    cfg = config("AdaptiveModel", *NESTED, "TEST.PRECISE_BN.ENABLED", True)
    cfg.MODEL.ADAPT.DETECTOR = "StandInDetector"
    cfg.MODEL.RESNETS.NORM, cfg.TEST.EVAL_PERIOD, cfg.SEED = "BN", 1, 3
    with pytest.raises(ValueError, match=r"TEST\.PRECISE_BN\.ENABLED .* write False"):
        trainer(cfg)
    cfg.MODEL.RESNETS.NORM = "GN"  # nothing to measure
    trainer(cfg)
