"""``adapt``, ``add_target`` and ``add_hooks`` in a trainer of somebody else."""

from __future__ import annotations

import argparse
import logging

import pytest
import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetMapper
from detectron2.engine import hooks
from detectron2.modeling import build_model
from detectron2.utils.events import EventStorage

import drfpn_da
from drfpn_da.engine import accumulate_gradients
from drfpn_da.modeling import AdaptiveModel
from tests.foreign.conftest import Mine, TheirTrainer
from tests.training import assert_equal_states, assert_same, take

OFF = ("MODEL.ADAPT.OBJECTIVES", [])
NESTED = (
    *("MODEL.STRONG_WEAK.LOCAL.FEATURES", ["p2"]),
    *("MODEL.STRONG_WEAK.GLOBAL.FEATURES", ["p4"]),
)


def test_with_all_keys_off_the_lines_do_nothing(config):
    cfg = config("StandInDetector", *OFF, "DATASETS.TARGET", ())
    plain, mine = TheirTrainer(cfg), Mine(cfg)
    assert type(mine.model) is type(plain.model)
    assert type(mine.data_loader) is type(plain.data_loader)
    assert [type(h) for h in mine._hooks[1:]] == [type(h) for h in plain._hooks]


def test_adapted_by_hand_and_by_yaml_are_one_model(config):
    mine, yaml = config("StandInDetector", *NESTED), config("AdaptiveModel", *NESTED)
    yaml.MODEL.ADAPT.DETECTOR = "StandInDetector"
    torch.manual_seed(3)
    by_hand = drfpn_da.adapt(build_model(mine), mine)
    torch.manual_seed(3)
    by_yaml = build_model(yaml)
    assert_equal_states(by_hand.state_dict(), by_yaml.state_dict())
    assert by_hand.architecture == "StandInDetector"  # the detector's own attribute
    assert drfpn_da.adapt(by_hand, mine) is by_hand
    with pytest.raises(AttributeError, match=r"StandInDetector.*no_such"):
        by_hand.no_such  # noqa: B018


def test_the_target_joins_any_iterable_of_batches(config):
    cfg = config("StandInDetector", "SOLVER.TARGET_IMS_PER_BATCH", 1)
    theirs = [[{"mine": 1}, {"mine": 2}], ({"mine": 3},)]
    batches = list(drfpn_da.add_target(iter(theirs), cfg))
    assert [[x.get("mine") for x in batch] for batch in batches] == [[1, 2, None], [3, None]]
    assert all(batch[-1]["domain"] == "target" for batch in batches)
    with pytest.raises(TypeError, match=r"gives a dict, .* lists of data set dicts"):
        next(iter(drfpn_da.add_target([{"image": 1}], cfg)))


def test_a_loader_that_nobody_told_goes_on_where_the_training_does(config):
    cfg = config("StandInDetector", "SOLVER.TARGET_IMS_PER_BATCH", 1)
    source = [[]] * 5
    whole = take(drfpn_da.add_target(source, cfg), 5)
    resumed = drfpn_da.add_target(source, cfg)
    with EventStorage(3):
        assert_same(whole[3:], take(resumed, 2))
    resumed.start_iter = 1
    with EventStorage(3):  # who is told does as told
        assert_same(whole[1:3], take(resumed, 2))


class PanopticMapper:
    """Reads a label, as mappers of segmentation projects do."""

    def __call__(self, record):
        return {"image": torch.zeros(3, 8, 8), "label": record["pan_seg_file_name"]}


def test_a_mapper_that_reads_labels_is_explained(config):
    cfg = config("StandInDetector")
    loader = drfpn_da.add_target([[]], cfg, target_mapper=PanopticMapper())
    with pytest.raises(ValueError, match=r"PanopticMapper, reads 'pan_seg_file_name'.*target_map"):
        next(iter(loader))
    mapper = DatasetMapper(cfg, True, augmentations=[])  # of one's own
    for sample in next(iter(drfpn_da.add_target([[]], cfg, target_mapper=mapper))):
        assert sample["image"].shape[1:] == (sample["height"], sample["width"])


def test_baselines_with_a_loader_of_ones_own(config):
    cfg = config("StandInDetector", "MODEL.ADAPT.BASELINE", "source_only")
    loader = [[]]
    assert drfpn_da.add_target(loader, cfg) is loader
    model = drfpn_da.adapt(build_model(cfg), cfg)
    assert isinstance(model, AdaptiveModel) and not len(model.objectives)
    cfg.MODEL.ADAPT.BASELINE = "oracle"
    with pytest.raises(ValueError, match=r"oracle.*reads DATASETS\.TRAIN.*foreign_source"):
        drfpn_da.add_target(loader, cfg)
    cfg.DATASETS.TRAIN = cfg.DATASETS.TARGET
    assert drfpn_da.add_target(loader, cfg) is loader


SET = {
    "TEST.BEST_METRIC": "bbox/AP",
    "TEST.SLENDER.ENABLED": True,
    "TEST.LABEL_FREE.ENABLED": True,
    "TEST.EVAL_BOTH": True,
    "SOLVER.ACCUMULATION_STEPS": 2,
    "SOLVER.OPTIMIZER": "Adam",
    "DATASETS.LABELLED.COUNT": 2,
    "INPUT.SOURCE_VIEW": "strong",
}


def first_step_warnings(trainer, caplog):
    caplog.clear()
    trainer.max_iter = 1
    with caplog.at_level(logging.WARNING, "drfpn_da.engine.unclaimed_keys"):
        trainer.train()
    found = [r for r in caplog.records if r.name == "drfpn_da.engine.unclaimed_keys"]
    assert len(found) < 2
    return found[0].message if found else ""


def test_keys_that_nobody_claims_are_named(config, caplog):
    options = [word for pair in SET.items() for word in pair]
    trainer = Mine(config("StandInDetector", *NESTED, *options, "DATASETS.TEST", ()))
    message = first_step_warnings(trainer, caplog)
    assert all(f"  {key} " in message for key in SET)
    assert len(message.splitlines()) == len(SET) + 1

    class Theirs(TheirTrainer):
        def build_hooks(self):
            return drfpn_da.add_hooks(super().build_hooks(), self.cfg, self.model)

    message = first_step_warnings(Theirs(config("StandInDetector", *NESTED)), caplog)
    assert "MODEL.ADAPT.OBJECTIVES ['StrongWeakAlignment']: wrap the model" in message
    assert "DATASETS.TARGET ('foreign_target',)" in message and "add_target" in message


def test_keys_that_somebody_claims_are_not(config, caplog):
    class All(Mine):
        def __init__(self, cfg):
            super().__init__(cfg)
            accumulate_gradients(self._trainer, cfg.SOLVER.ACCUMULATION_STEPS)

        @classmethod
        def build_train_loader(cls, cfg):
            return drfpn_da.add_target(drfpn_da.data.build_train_loader(cfg), cfg)

        @classmethod
        def build_optimizer(cls, cfg, model):
            return torch.optim.Adam(model.parameters())

    keys = [k for k in SET if not k.startswith("TEST.") or k == "TEST.BEST_METRIC"]
    options = [word for key in keys for word in (key, SET[key])]
    options += ["SOLVER.TARGET_IMS_PER_BATCH", 2, "TEST.EVAL_PERIOD", 1]
    trainer = All(config("StandInDetector", *NESTED, *options))
    kinds = [type(hook).__name__ for hook in trainer._hooks]
    assert kinds[-1] == "PeriodicWriter" and kinds[-2] == "BestCheckpointer"
    assert first_step_warnings(trainer, caplog) == ""


def test_hooks_of_our_trainer_are_not_added_again(config):
    cfg = config("StandInDetector", *OFF, "DATASETS.TARGET", ())
    ours = drfpn_da.Trainer(cfg)
    built = ours.build_hooks()
    assert drfpn_da.add_hooks(built, cfg, ours.model) == built
    assert any(isinstance(hook, hooks.PeriodicWriter) for hook in built)


def test_setup_cfg_adds_the_keys_of_others():
    def add_their_config(cfg):
        cfg.MODEL.THEIRS = CfgNode({"QUERIES": 100})

    args = argparse.Namespace(opts=["MODEL.THEIRS.QUERIES", "7", "MODEL.DEVICE", "cpu"])
    cfg = drfpn_da.setup_cfg(args, add_config=[add_their_config])
    assert cfg.MODEL.THEIRS.QUERIES == 7 and cfg.MODEL.ADAPT.OBJECTIVES == []


def test_names_at_the_top():
    assert all(hasattr(drfpn_da, name) for name in drfpn_da.__all__)
    assert drfpn_da.Trainer is drfpn_da.engine.Trainer
    with pytest.raises(AttributeError, match="no_such"):
        drfpn_da.no_such  # noqa: B018
