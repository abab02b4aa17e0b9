"""Pictures with slender objects come more often, by the rule of LVIS."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest

from drfpn_da.config.setup import base_cfg
from drfpn_da.data import build_train_loader
from drfpn_da.data.slender_sampler import SlendernessTrainingSampler


def record(*sides):
    boxes = [{"bbox": [0, 0, *s], "bbox_mode": 1, "category_id": 0} for s in sides]
    return {"file_name": "x.png", "width": 10, "height": 10, "annotations": boxes}


# 1 of 16 pictures holds an extremely slender object, 4 a slender one, all a regular one.
RECORDS = [record((9, 9), *extra) for extra in [[(1, 9)], *[[(3, 10)]] * 4, *[[]] * 11]]


def test_repeat_factors():
    sampler = SlendernessTrainingSampler(RECORDS, threshold=0.25, seed=0)
    assert sampler.repeat_factors.tolist() == [2, *[1] * 15]  # sqrt(0.25 / (1 / 16)), then 1
    sampler = SlendernessTrainingSampler(RECORDS, threshold=0.5, sqrt=False, seed=0)
    assert sampler.repeat_factors.tolist() == [8, *[2] * 4, *[1] * 11]
    sampler = SlendernessTrainingSampler(RECORDS, edges=(0.05,), threshold=0.5, seed=0)
    assert sampler.repeat_factors.max() == 1


def test_from_a_config_it_draws_so_and_repeats_with_the_seed(register):
    cfg = base_cfg()
    cfg.DATASETS.TRAIN = (register("slender_sampler_test", RECORDS),)
    cfg.DATALOADER.SAMPLER_TRAIN = "SlendernessTrainingSampler"
    cfg.DATALOADER.REPEAT_THRESHOLD, cfg.DATALOADER.REPEAT_SQRT = 0.5, False
    cfg.DATALOADER.NUM_WORKERS, cfg.SOLVER.IMS_PER_BATCH, cfg.SEED = 0, 4, 3

    def draw(mapper=lambda r: {"n": len(r["annotations"]), "sides": r["annotations"][-1]}):
        batches = itertools.islice(build_train_loader(cfg, mapper=mapper), 54)
        return [tuple(sample["sides"]["bbox"][2:]) for batch in batches for sample in batch]

    first = draw()
    counts = Counter(first)  # 8 passes of 8 + 4 * 2 + 11 = 27 pictures, 216 in 54 batches
    assert counts == {(1, 9): 64, (3, 10): 64, (9, 9): 88}
    assert draw() == first


def test_pictures_without_annotations_are_refused():
    with pytest.raises(ValueError, match="needs annotated pictures"):
        SlendernessTrainingSampler([{"file_name": "x.png"}])
