"""The demonstration, five iterations of each model on the smallest streets."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from tests.scripts import load_script


@pytest.mark.slow
def test_demonstration_writes_page_and_picture(repository, tmp_path, capsys):
    tool = load_script(repository / "tools" / "make_demo.py")
    small = [
        "--one-process", "--iterations", "5", "--output", str(tmp_path / "demo"),
        "DATASETS.TRAIN", "('streets_mini_clear_train',)",
        "DATASETS.TEST", "('streets_mini_clear_val', 'streets_mini_foggy_val')",
        "INPUT.MIN_SIZE_TRAIN", "(64,)", "INPUT.MIN_SIZE_TEST", "64",
        "DATALOADER.NUM_WORKERS", "0",
    ]  # fmt: skip
    folder = tool.main(small)
    page = (folder / "index.html").read_text()
    assert page.count("data:image/png;base64") == 3 and "FPN" in page
    assert np.asarray(Image.open(folder / "overview.png")).shape[1] > 1000
    for name in ("drfpn", "fpn"):
        last = json.loads((folder / name / "metrics.json").read_text().splitlines()[-1])
        assert "streets_mini_foggy_val/bbox/AP" in last
        assert (folder / name / "model_final.pth").is_file()
    assert str(folder / "index.html") in capsys.readouterr().out
    again = tool.main(small)
    assert again.name == "demo-2"


def test_run_reads_the_last_value(repository, tmp_path):
    tool = load_script(repository / "tools" / "make_demo.py")
    (tmp_path / "metrics.json").write_text(
        '{"iteration": 9, "bbox/AP": 1.0}\n{"iteration": 19, "bbox/AP": 2.0}\n{"iteration": 29}\n'
    )
    cfg = type("Cfg", (), {"OUTPUT_DIR": str(tmp_path)})
    run = tool.Run(cfg, parameters=1, wall=1.0, cpu=1.0)
    assert run.final("bbox/AP") == 2.0 and np.isnan(run.final("bbox/AP50"))
    assert "iteration    0" not in tool.progress("x", tmp_path)
