"""Config files hold values: what would run code is refused, wherever it stands, and not run."""

from __future__ import annotations

import argparse
import pickle

import pytest
from detectron2 import model_zoo as stock_zoo
from detectron2.config import get_cfg

from drfpn_da import add_drfpn_da_config
from drfpn_da.config import merge_file, setup_cfg
from drfpn_da.engine.lazy import start_lazy_run
from tests.scripts import load_tool


@pytest.fixture
def trap(tmp_path):
    """A config file that would make a file, and that file's path."""
    made = tmp_path / "made"
    path = tmp_path / "trap.yaml"
    path.write_text(f'VERSION: 2\nOUTPUT_DIR: !!python/object/apply:os.system ["touch {made}"]\n')
    return path, made


def from_the_command_line(path):
    setup_cfg(argparse.Namespace(config_file=str(path)))


def from_python(path):
    cfg = get_cfg()
    add_drfpn_da_config(cfg)
    merge_file(cfg, str(path))


def as_detectron2_does(path):
    cfg = get_cfg()
    add_drfpn_da_config(cfg)
    cfg.merge_from_file(str(path))


def by_a_copy(path):
    cfg = get_cfg()
    add_drfpn_da_config(cfg)
    pickle.loads(pickle.dumps(cfg.clone())).merge_from_file(str(path))


def as_lazy_config(path):
    start_lazy_run(argparse.Namespace(config_file=str(path), opts=[]))


def by_a_tool(path):
    load_tool("analyze_model").main(["--config-file", str(path)])


@pytest.mark.parametrize("read", [
    from_the_command_line, from_python, as_detectron2_does, by_a_copy, as_lazy_config, by_a_tool,
])  # fmt: skip
def test_code_in_a_file_is_refused_with_file_and_line(read, trap):
    path, made = trap
    with pytest.raises(ValueError, match=r"trap\.yaml, line 2: .*os\.system.* must not run code"):
        read(path)
    assert not made.exists()


@pytest.mark.parametrize("base", ["trap.yaml", "[sound.yaml, trap.yaml]"])
def test_code_in_a_base_is_refused_too(base, trap, tmp_path):
    _, made = trap
    (tmp_path / "sound.yaml").write_text("SEED: 1\n")
    (tmp_path / "leaf.yaml").write_text(f"_BASE_: {base}\nSEED: 2\n")
    with pytest.raises(ValueError, match=r"trap\.yaml, line 2"):
        from_the_command_line(tmp_path / "leaf.yaml")
    assert not made.exists()


def test_unknown_keys_of_several_bases_are_named(tmp_path):
    (tmp_path / "one.yaml").write_text("SEED: 1\n")
    (tmp_path / "two.yaml").write_text("SEEED: 1\n")
    (tmp_path / "leaf.yaml").write_text("_BASE_: [one.yaml, two.yaml]\n")
    with pytest.raises(KeyError, match=r"SEEED.*two\.yaml"):
        from_the_command_line(tmp_path / "leaf.yaml")


def test_what_is_no_yaml_is_named(tmp_path):
    (tmp_path / "c.yaml").write_text("SEED: 1\nMODEL: [\n")
    with pytest.raises(ValueError, match=r"c\.yaml, line \d+ is no YAML"):
        from_the_command_line(tmp_path / "c.yaml")


def test_tuples_and_the_expression_of_the_stock_retinanet_pass(tmp_path):
    stock = stock_zoo.get_config_file("COCO-Detection/retinanet_R_50_FPN_1x.yaml")
    copied = tmp_path / "Base-RetinaNet.yaml"
    copied.write_text(open(stock_zoo.get_config_file("Base-RetinaNet.yaml")).read())
    leaf = tmp_path / "leaf.yaml"
    leaf.write_text(f"_BASE_: {copied}\nSOLVER:\n  STEPS: !!python/tuple [1, 2]\n")
    for path in (stock, leaf):
        cfg = setup_cfg(argparse.Namespace(config_file=str(path)))
        by_hand = get_cfg()
        add_drfpn_da_config(by_hand)
        by_hand.merge_from_file(str(path))
        assert by_hand.SOLVER.STEPS == cfg.SOLVER.STEPS
        assert by_hand.MODEL.ANCHOR_GENERATOR == cfg.MODEL.ANCHOR_GENERATOR
        assert cfg.MODEL.ANCHOR_GENERATOR.SIZES[0] == [32, 32 * 2 ** (1 / 3), 32 * 2 ** (2 / 3)]
    assert cfg.SOLVER.STEPS == (1, 2)
    copied.write_text(copied.read_text().replace("32, 64", "16, 32"))
    with pytest.raises(ValueError, match=r"Base-RetinaNet\.yaml, line 8: .*eval"):
        from_the_command_line(leaf)
