"""From the command line to a config."""

import pytest
from detectron2.config import get_cfg
from detectron2.data import DatasetCatalog, MetadataCatalog

from drfpn_da.config import add_drfpn_da_config, argument_parser, setup_cfg
from drfpn_da.config.combinations import lookup
from drfpn_da.config.setup import base_cfg, merge_options
from drfpn_da.engine.run import config_differences
from tests.tiny_coco import write_tiny_coco


def setup(*words):
    return setup_cfg(argument_parser().parse_args(list(words)))


def test_file_then_options(tmp_path):
    (tmp_path / "base.yaml").write_text("SOLVER: {BASE_LR: 0.5, MAX_ITER: 7}\nVERSION: 2\n")
    (tmp_path / "leaf.yaml").write_text("_BASE_: base.yaml\nMODEL: {DRFPN: {NORM: GN}}\n")
    cfg = setup("--config-file", str(tmp_path / "leaf.yaml"), "SOLVER.MAX_ITER", "9")
    assert (cfg.SOLVER.BASE_LR, cfg.SOLVER.MAX_ITER, cfg.MODEL.DRFPN.NORM) == (0.5, 9, "GN")
    assert cfg.is_frozen()


def test_stock_defaults_are_unchanged():
    """Whatever the set-up adds, a key of detectron2 keeps detectron2's value."""

    def check(stock, ours, prefix=""):
        for key, value in stock.items():
            if isinstance(value, type(stock)):
                check(value, ours[key], f"{prefix}{key}.")
            elif f"{prefix}{key}" != "MODEL.DEVICE":
                assert ours[key] == value, f"{prefix}{key}"

    check(get_cfg(), setup())


def test_adding_keys_twice_keeps_values():
    cfg = get_cfg()
    add_drfpn_da_config(cfg)
    cfg.MODEL.DRFPN.NORM = "GN"
    add_drfpn_da_config(cfg)
    assert cfg.MODEL.DRFPN.NORM == "GN"


def test_name_of_the_model_zoo():
    args = argument_parser().parse_args(
        ["--config-file", "drfpn/bccd/faster_rcnn_mobilenetv2_drfpn.yaml"]
    )
    assert setup_cfg(args).MODEL.ROI_HEADS.NUM_CLASSES == 3
    assert args.config_file.endswith("configs/drfpn/bccd/faster_rcnn_mobilenetv2_drfpn.yaml")


def test_missing_file_suggests_a_name():
    with pytest.raises(FileNotFoundError, match=r"faster_rcnn_mobilenetv2_drfpn\.yaml"):
        setup("--config-file", "bccd/faster_rcnn_mobilenetv2_drfpm.yaml")


@pytest.mark.parametrize(
    ("text", "unknown", "meant"),
    [
        ("MODEL: {DRFPN: {SRB: {REDUCTON: 4}}}", "MODEL.DRFPN.SRB.REDUCTON", "SRB.REDUCTION"),
        ("SOLVER: {NUM_CLASSES: 3}", "SOLVER.NUM_CLASSES", "MODEL.RETINANET.NUM_CLASSES"),
        ("MODLE: {DEVICE: cpu}", "MODLE.DEVICE", "MODEL.DEVICE"),
    ],
)
def test_unknown_key_of_a_base_file(tmp_path, text, unknown, meant):
    (tmp_path / "base.yaml").write_text(text)
    (tmp_path / "leaf.yaml").write_text("_BASE_: base.yaml\nSOLVER: {MAX_ITER: 3}\n")
    with pytest.raises(KeyError) as error:
        setup("--config-file", str(tmp_path / "leaf.yaml"))
    message = str(error.value)
    assert f"'{unknown}'" in message
    assert str(tmp_path / "base.yaml") in message
    assert meant in message


def test_unknown_key_of_the_command_line():
    with pytest.raises(KeyError, match=r"'SOLVER\.BASE_LRR' in the command line.*SOLVER\.BASE_LR "):
        setup("SOLVER.MAX_ITER", "3", "SOLVER.BASE_LRR", "0.1")


def test_option_without_value():
    with pytest.raises(ValueError, match="pairs KEY VALUE"):
        setup("SOLVER.MAX_ITER")


def test_registered_from_the_command_line(tmp_path):
    json_file, images = write_tiny_coco(tmp_path / "data")
    try:
        cfg = setup("--register", "tiny_cli", json_file, images, "OUTPUT_DIR", "x")
        assert cfg.DATASETS.REGISTER == [["tiny_cli", json_file, images]]
        assert len(DatasetCatalog.get("tiny_cli")) == 8
        # The saved config registers it again, also in the same process.
        (tmp_path / "config.yaml").write_text(cfg.dump())
        again = setup("--config-file", str(tmp_path / "config.yaml"))
        assert config_differences(again, cfg) == []
    finally:
        DatasetCatalog.remove("tiny_cli")
        MetadataCatalog.remove("tiny_cli")


def test_incomplete_registration():
    with pytest.raises(ValueError, match=r"an entry is \[name, annotation\.json, image folder\]"):
        setup("DATASETS.REGISTER", "[['a', 'b']]")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["DATASETS.TRAIN", "mine"], ("mine",)),
        (["DATASETS.TRAIN", "('mine')"], ("mine",)),
        (["DATASETS.TRAIN", "('mine', 'yours')"], ("mine", "yours")),
        (["SOLVER.STEPS", "100"], (100,)),
        (["SOLVER.STEPS", "()"], ()),
        (["MODEL.ADAPT.OBJECTIVES", "PseudoLabel"], ["PseudoLabel"]),
    ],
)
def test_one_value_of_several(words, expected):
    cfg = base_cfg()
    merge_options(cfg, words)
    found = lookup(cfg, words[0])
    assert found == expected and type(found) is type(expected)


@pytest.mark.parametrize(
    "words", [["SOLVER.STEPS", "soon"], ["DATASETS.TRAIN", "('a', 'b'"], ["DATASETS.TRAIN", "5"]]
)
def test_what_is_no_value_of_several(words):
    with pytest.raises(ValueError, match=words[0]):
        merge_options(base_cfg(), words)
