"""A thousand random configs: each builds a trainer, or is refused by an error that names a key."""

from __future__ import annotations

import argparse
import random
import re

import pytest
import yaml
from detectron2.data import DatasetCatalog, MetadataCatalog

from drfpn_da import model_zoo
from drfpn_da.config import setup_cfg
from drfpn_da.engine import Trainer
from tests.config.fuzzing import Change, random_changes
from tests.tiny_patches import register_tiny_patches

KEY = re.compile(
    r"\b(MODEL|DATASETS|INPUT|SOLVER|TEST|DATALOADER|WANDB|SCN_RELABEL)\.[A-Z0-9_.]+"
    r"|config key:? '?\w+"
)
NAMED = (ValueError, KeyError, FileNotFoundError, ImportError)
PATCHES = "fuzzed_patches"
STREETS = {
    "DATASETS.TRAIN": ["streets_mini_clear_sequences"],
    "DATASETS.TARGET": ["streets_mini_foggy_sequences"],
    "DATASETS.TEST": ["streets_mini_clear_val"],
    "DATASETS.LABELLED.COUNT": 0,
}
#: Config -> what makes it small, and independent of files.
BASES = {
    "all_in_one/streets/faster_rcnn_mobilenetv2_drfpn_mini.yaml": STREETS,
    "all_in_one/streets/semseg_mobilenetv2_drfpn_mini.yaml": STREETS,
    "strong_weak/streets/faster_rcnn_mobilenetv2_drfpn_mini.yaml": STREETS,
    "pseudo_label/streets/semseg_mobilenetv2_mini.yaml": STREETS,
    "slender/streets/fcos_mobilenetv2_drfpn_slender_small.yaml": STREETS,
    "drfpn/streets/retinanet_mobilenetv2_drfpn_mini.yaml": STREETS,
    "depth_mix/streets/multi_task_mobilenetv2_mini.yaml": STREETS,
    "depth/streets/mobilenetv2_mini.yaml": STREETS,
    "pseudo_label/cifar10n/soft_labels_small_resnet.yaml": {
        "DATASETS.TRAIN": [PATCHES],
        "DATASETS.TEST": [],
        "DATASETS.LABELLED.COUNT": 8,
        "MODEL.PATCH_CLASSIFIER.NUM_CLASSES": 4,
        "MODEL.SOFT_LABELS.LABELLED_PER_BATCH": 2,
        "SOLVER.IMS_PER_BATCH": 6,
    },
}
COMMON = {
    "MODEL.WEIGHTS": "",
    "MODEL.DEVICE": "cpu",
    "MODEL.FPN.OUT_CHANNELS": 64,
    "DATALOADER.NUM_WORKERS": 0,
}


@pytest.fixture(scope="module", autouse=True)
def patches(tmp_path_factory):
    register_tiny_patches(PATCHES, tmp_path_factory.mktemp("fuzzed") / "patches")
    yield
    DatasetCatalog.remove(PATCHES)
    MetadataCatalog.remove(PATCHES)


def as_tree(values):
    """Nested dicts of full names; a later name may contradict an earlier one."""
    tree = {}
    for key, value in values.items():
        *nodes, leaf = key.split(".")
        node = tree
        for name in nodes:
            below = node.get(name)
            node[name] = node = below if isinstance(below, dict) else {}
        node[leaf] = value
    return tree


def build(base: str, changes: list[Change], in_file: bool, folder) -> Trainer:
    """Build what trains the changed config, as tools/train_net.py does."""
    values = {**BASES[base], **COMMON, "OUTPUT_DIR": str(folder / "out")}
    words = []
    if in_file:
        values |= {change.key: change.value for change in changes}
    else:
        words = [word for change in changes for word in (change.key, str(change.value))]
    file = folder / "fuzzed.yaml"
    tree = {"_BASE_": model_zoo.get_config_file(base), **as_tree(values)}
    file.write_text(yaml.safe_dump(tree))
    return Trainer(setup_cfg(argparse.Namespace(config_file=str(file), opts=words)))


def case(number: int):
    rng = random.Random(number)
    return rng.choice(sorted(BASES)), random_changes(rng), rng.random() < 0.5


def check(number: int, folder) -> bool:
    """Whether the case builds; it must, or be refused by name."""
    base, changes, in_file = case(number)
    try:
        build(base, changes, in_file, folder)
        return True
    except NAMED as error:
        message = str(error)
        assert KEY.search(message), (number, base, changes, in_file, error)
    except Exception as error:
        raise AssertionError((number, base, changes, in_file, repr(error))) from error
    return False


@pytest.mark.parametrize("base", BASES)
def test_the_bases_themselves_build(base, tmp_path):
    build(base, [], True, tmp_path)


def test_fuzzed_configs_build_or_are_refused_by_name(tmp_path):
    built = [check(number, tmp_path) for number in range(100)]
    assert 15 < sum(built) < 85, "the fuzz is too tame, or too wild, to tell anything"


@pytest.mark.slow
@pytest.mark.parametrize("hundred", range(10))
def test_a_thousand_fuzzed_configs(hundred, tmp_path):
    for number in range(100 * hundred, 100 * (hundred + 1)):
        check(number, tmp_path)
