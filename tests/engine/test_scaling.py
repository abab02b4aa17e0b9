"""Scaling a config to another number of processes: every key that counts steps or pictures."""

import re

import pytest

from drfpn_da.config.combinations import lookup
from drfpn_da.config.setup import base_cfg
from drfpn_da.config.unknown_keys import leaf_keys
from drfpn_da.engine import scale_to_processes
from drfpn_da.engine.scaling import BATCHES, ITERATIONS, MOMENTA

#: Words of names that count steps or pictures, or average over them.
COUNTS = re.compile(r"ITER|PERIOD|WARN_AFTER|MOMENTUM|DECAY|BATCH|\bSTEPS|EPOCH")
#: Named likewise, but: scaled by a rule of their own,
OTHERWISE = {"MODEL.TEACHER.DECAY", "MODEL.TEACHER.PERIOD", "SOLVER.STEPS"}
#: or the same whatever the batch.
UNSCALED = {
    # The rule of learning rates holds for one momentum and one decay of weights.
    *("SOLVER.MOMENTUM", "SOLVER.WEIGHT_DECAY", "SOLVER.WEIGHT_DECAY_BIAS"),
    *("SOLVER.WEIGHT_DECAY_NORM", "SOLVER.NUM_DECAYS"),
    # Of each process, each picture, or in epochs.
    *("MODEL.SOFT_LABELS.LABELLED_PER_BATCH", "MODEL.SOFT_LABELS.BATCH_STATISTICS"),
    *("MODEL.RPN.BATCH_SIZE_PER_IMAGE", "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE"),
    *("SCN_RELABEL.START_EPOCH", "SCN_RELABEL.STOP_EPOCH", "SCN_RELABEL.PERIOD_EPOCHS"),
    "SCN_RELABEL.PERIOD_FRACTION",
}


def planned(processes, **solver):
    """A config written for so many processes."""
    cfg = base_cfg()
    cfg.SOLVER.REFERENCE_WORLD_SIZE = processes
    for key, value in solver.items():
        cfg.SOLVER[key] = value
    return cfg


def write(cfg, key, value):
    *parents, name = key.split(".")
    node = cfg
    for parent in parents:
        node = node[parent]
    node[name] = value


def test_every_key_that_counts_steps_or_pictures_is_known():
    found = {key for key in leaf_keys(base_cfg()) if COUNTS.search(key.rpartition(".")[2])}
    assert found - {*ITERATIONS, *MOMENTA, *BATCHES} == OTHERWISE | UNSCALED


@pytest.mark.parametrize("key", ITERATIONS)
def test_iterations_stretch_and_never_become_none(key):
    cfg = planned(8)
    write(cfg, key, 100)
    assert lookup(scale_to_processes(cfg, 2), key) == 400
    write(cfg, key, 3)
    assert lookup(scale_to_processes(cfg, 64), key) == 1
    write(cfg, key, 0)
    assert lookup(scale_to_processes(cfg, 2), key) == 0


@pytest.mark.parametrize("key", MOMENTA)
def test_averages_keep_as_much_per_picture(key):
    cfg = planned(8)
    write(cfg, key, 0.81)
    assert lookup(scale_to_processes(cfg, 4), key) == pytest.approx(0.9)
    assert lookup(scale_to_processes(cfg, 16), key) == pytest.approx(0.6561)


def test_the_last_learning_rate_keeps_its_share_of_the_first():
    cfg = planned(8, BASE_LR=0.08, BASE_LR_END=0.008)
    solver = scale_to_processes(cfg, 2).SOLVER
    assert (solver.BASE_LR, solver.BASE_LR_END) == pytest.approx((0.02, 0.002))


@pytest.mark.parametrize("key", ["IMS_PER_BATCH", "TARGET_IMS_PER_BATCH"])
@pytest.mark.parametrize("processes", [1, 16])
def test_batches_that_do_not_divide_are_refused(key, processes):
    message = rf"SOLVER\.{key} is 10, .* 8 processes of SOLVER\.REFERENCE_WORLD_SIZE"
    with pytest.raises(ValueError, match=message):
        scale_to_processes(planned(8, **{"IMS_PER_BATCH": 16, key: 10}), processes)
