"""Values and combinations of keys: each has a rule, shipped configs keep it, the rest is named."""

import math

import pytest
from detectron2.config import CfgNode

from drfpn_da import model_zoo
from drfpn_da.config import check_config, get_defaults
from drfpn_da.config.combinations import lookup
from drfpn_da.config.rules import Choice, Flag, Items, Node, Number, Row, Text
from drfpn_da.config.setup import base_cfg
from drfpn_da.config.tree import RULES
from drfpn_da.config.unknown_keys import leaf_keys

PAIR = {"x": Number(), "y": Text()}
NUMBERS = {"x": Number(), "y": Number()}


def test_every_key_states_a_default_that_its_rule_accepts():
    defaults = get_defaults()
    assert set(RULES) == set(leaf_keys(defaults))
    for key, rule in RULES.items():
        assert rule.accepts(lookup(defaults, key)), key
    defaults.TEST.SLENDER.BINS.append("changed")
    assert "changed" not in get_defaults().TEST.SLENDER.BINS


def test_a_key_is_stated_once():
    tree = Node()
    tree.PART = Node()
    tree.PART.ENABLED = False
    assert dict(tree.rules()) == {"PART.ENABLED": Flag()}
    with pytest.raises(ValueError, match="ENABLED is stated twice"):
        tree.PART.ENABLED = True


def test_the_defaults_and_all_shipped_configs_pass():
    check_config(base_cfg())
    for name in model_zoo.list_configs():
        config = model_zoo.get_config(name)
        if isinstance(config, CfgNode):
            check_config(config)


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        (Flag(), [True, False], [1, 0.0, "True", None]),
        (
            Number(low=0, high=1),
            [0, 0.5, 1],
            [-1e-9, 1.1, math.nan, math.inf, True, "1", None, [0]],
        ),
        (Number(low=0, high=1, above=True, below=True), [0.5], [0, 1, 0.0, 1.0]),
        (Number(low=0, infinite=True), [math.inf, 3], [math.nan, -math.inf, -1]),
        (Number(low=1, whole=True), [1, 10**9], [0, 1.0, True, -1]),
        (RULES["DATASETS.LABELLED.SEED"], [0, 2**32 - 1], [-1, 2**32]),
        (Choice("a", 2), ["a", 2], ["b", 2.0, None, ["a"]]),
        (Choice(1), [1], [True]),
        (Text(), ["", "x"], [3, None]),
        (Text(empty=False), ["x"], ["", "  "]),
        (Items([], Number(low=0)), [[], (1, 2)], [1, "12", [-1], [[1]], None]),
        (Items([], Text(), least=1, different=True), [["a", "b"]], [[], ["a", "a"]]),
        (Row(fields=PAIR), [[1, "a"]], [[], [1], [1, "a", 2], ["a", 1], "1a"]),
        (Row(fields=NUMBERS, ascending=True), [[1, 1], (1, 2)], [[2, 1]]),
        (Row(fields=NUMBERS, empty=True), [[], [1, 0]], [[1], None, ""]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_rules(rule, good, bad):
    assert all(rule.accepts(value) for value in good)
    assert not any(rule.accepts(value) for value in bad)
    assert rule.wanted


def test_large_ends_of_a_range_are_written_out():
    assert RULES["DATASETS.LABELLED.SEED"].wanted == "a whole number in [0, 4294967295]"


def test_all_wrong_values_are_named_at_once_with_the_mend():
    cfg = base_cfg()
    cfg.MODEL.TEACHER.DECAY = 1.0
    cfg.MODEL.DEPTH_MIX.MASK = "deep"
    cfg.TEST.SLENDER.BINS = [["XS", 0.0]]
    with pytest.raises(ValueError) as error:
        check_config(cfg)
    assert str(error.value).splitlines() == [
        "MODEL.TEACHER.DECAY is 1.0; write a number in [0, 1)",
        "MODEL.DEPTH_MIX.MASK is 'deep'; write one of ['depth', 'class', 'cut', 'none']",
        "TEST.SLENDER.BINS is [['XS', 0.0]]; write a list of at least 1 entries; an entry is "
        "[name, low, high] (name: a name; low: a number, 0 or more; "
        "high: a number, 0 or more, or .inf)",
    ]


def test_a_detector_of_someone_else_is_not_judged():
    cfg = base_cfg()
    cfg.MODEL.ROI_HEADS.NAME = "SCNROIHeads"
    cfg.MODEL.META_ARCHITECTURE = "RetinaNet"
    with pytest.raises(ValueError, match=r"ROI_HEADS\.NAME SCNROIHeads .* not for RetinaNet"):
        check_config(cfg)
    cfg.MODEL.META_ARCHITECTURE = "TheirRCNN"
    check_config(cfg)
