"""Names and keys that another package has taken."""

from __future__ import annotations

import pytest
from detectron2.config import CfgNode, get_cfg
from detectron2.modeling import build_model
from detectron2.utils.registry import Registry

import drfpn_da
from drfpn_da.compat import register_if_free
from drfpn_da.config import check_config
from drfpn_da.config.tree import own_view


def test_a_part_whose_name_is_taken_has_a_prefix(caplog):
    registry = Registry("PARTS")
    theirs = lambda: "theirs"  # noqa: E731
    theirs.__name__ = "build_vgg16_backbone"
    registry.register(theirs)

    def build_vgg16_backbone():
        return "ours"

    def build_other():
        return "ours, free"

    assert register_if_free(registry)(build_vgg16_backbone) is build_vgg16_backbone
    assert [r.args[1:] for r in caplog.records] == [("PARTS", "drfpn_da_build_vgg16_backbone")]
    register_if_free(registry)(build_other)
    assert registry.get("build_vgg16_backbone") is theirs
    assert registry.get("drfpn_da_build_vgg16_backbone") is build_vgg16_backbone
    assert registry.get("build_other") is build_other and len(caplog.records) == 1


def add_their_config(cfg):
    """A value where ours is a node, a node where ours is a value, an optimiser of their own."""
    cfg.WANDB = True
    cfg.MODEL.TEACHER = CfgNode({"DECAY": CfgNode({"START": 0.9}), "NETWORK": "theirs"})
    cfg.SOLVER.OPTIMIZER = "ADAMW"
    cfg.MODEL.FCOS = CfgNode({"NUM_CLASSES": 7})


def test_keys_that_are_taken_stand_elsewhere(caplog):
    cfg = get_cfg()
    add_their_config(cfg)
    theirs = cfg.clone()
    drfpn_da.add_drfpn_da_config(cfg)
    named = {record.args[0] for record in caplog.records}
    assert named == {
        *("WANDB.ENABLED", "WANDB.PROJECT", "WANDB.NAME"),
        *("MODEL.TEACHER.DECAY", "SOLVER.OPTIMIZER"),
    }
    assert cfg.WANDB is True and cfg.MODEL.TEACHER.DECAY == theirs.MODEL.TEACHER.DECAY
    assert cfg.MODEL.TEACHER.NETWORK == "theirs" and cfg.MODEL.FCOS.NUM_CLASSES == 7
    assert cfg.SOLVER.OPTIMIZER == "ADAMW" and cfg.MODEL.TEACHER.PERIOD == 1
    before = cfg.clone()
    drfpn_da.add_drfpn_da_config(cfg)
    assert cfg == before and len(caplog.records) == len(named)

    cfg.merge_from_list(["DRFPN_DA.WANDB.ENABLED", True, "DRFPN_DA.MODEL.TEACHER.DECAY", 0.5])
    check_config(cfg)
    view = own_view(cfg)
    assert view.WANDB.ENABLED is True and view.MODEL.TEACHER.DECAY == 0.5
    assert view.MODEL.TEACHER.NETWORK == "theirs" and view.SOLVER.OPTIMIZER == "SGD"
    assert cfg.WANDB is True
    cfg.DRFPN_DA.MODEL.TEACHER.DECAY = 1.5
    with pytest.raises(ValueError, match=r"MODEL\.TEACHER\.DECAY is 1\.5"):
        check_config(cfg)


def test_the_three_lines_read_the_keys_wherever_they_stand(config):
    cfg = config("StandInDetector", "MODEL.STRONG_WEAK.GLOBAL.FEATURES", ["p4"])
    cfg.MODEL.STRONG_WEAK.LOCAL.FEATURES = ["p2"]
    cfg.MODEL.TEACHER.ENABLED = True
    add_their_config(cfg)  # after ours, over some of them
    model = drfpn_da.adapt(build_model(cfg), cfg)
    assert model.teacher is None  # their node has replaced ours, which has its default
    assert len(next(iter(drfpn_da.add_target([[]], cfg)))) == 2
    assert [type(h).__name__ for h in drfpn_da.add_hooks([], cfg, model)] == ["UnclaimedKeys"]
    drfpn_da.add_drfpn_da_config(cfg)
    cfg.MODEL.TEACHER.ENABLED = True
    cfg.DRFPN_DA.MODEL.TEACHER.DECAY = 0.5
    assert drfpn_da.adapt(build_model(cfg), cfg).teacher.decay == 0.5
