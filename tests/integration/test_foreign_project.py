"""What another project needs to adapt its detector: an import, the keys, one loader."""

import json
import subprocess
import sys
from pathlib import Path

import torch

from tests.tiny_coco import write_tiny_coco

OPTIONS = [
    *("MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", "", "MODEL.RESNETS.DEPTH", "18"),
    *("MODEL.RESNETS.RES2_OUT_CHANNELS", "64", "MODEL.RESNETS.NORM", "BN"),
    *("MODEL.FPN.OUT_CHANNELS", "32", "MODEL.RETINANET.NUM_CLASSES", "2"),
    *("MODEL.STRONG_WEAK.GLOBAL.NORM", "GN", "INPUT.MIN_SIZE_TRAIN", "(64,)"),
    *("SOLVER.IMS_PER_BATCH", "2", "SOLVER.MAX_ITER", "3", "DATALOADER.NUM_WORKERS", "0"),
]


def test_stock_trainer_adapts_a_stock_retinanet(tmp_path):
    json_file, images = write_tiny_coco(tmp_path)
    output = tmp_path / "output"
    output.mkdir()
    script = Path(__file__).parent / "foreign_project.py"
    command = [sys.executable, str(script), json_file, images, str(output), *OPTIONS]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    lines = [json.loads(x) for x in (output / "metrics.json").read_text().splitlines()]
    assert 0 < lines[-1]["strong_weak/loss_local_res2_target"] < 0.5
    assert lines[-1]["loss_cls"] > 0
    state = torch.load(output / "model_final.pth", weights_only=False)
    assert state["iteration"] == 2
    assert any(key.startswith("objectives.strong_weak.") for key in state["model"])
