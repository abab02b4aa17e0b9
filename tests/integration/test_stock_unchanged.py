"""With the plugin imported, a stock config trains as without it, bit for bit."""

import subprocess
import sys

import torch

import drfpn_da  # noqa: F401
from tests.integration.stock_training import train_stock
from tests.tiny_coco import write_tiny_coco


def test_stock_config_trains_bit_identically(tmp_path, repository):
    write_tiny_coco(tmp_path / "data")
    script = repository / "tests" / "integration" / "stock_training.py"
    words = [sys.executable, str(script), str(tmp_path / "data"), str(tmp_path / "plain.pth")]
    run = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-3000:]
    # This process has the plugin.
    train_stock(tmp_path / "data", tmp_path / "plugin.pth")

    plain, plugin = (
        torch.load(tmp_path / f"{kind}.pth", weights_only=True) for kind in ("plain", "plugin")
    )
    assert plain["model"].keys() == plugin["model"].keys()
    assert all(torch.equal(plain["model"][k], v) for k, v in plugin["model"].items())
    momenta = [state["optimizer"]["state"] for state in (plain, plugin)]
    assert len(momenta[0]) == len(momenta[1]) > 0
    for key, value in momenta[0].items():
        assert torch.equal(value["momentum_buffer"], momenta[1][key]["momentum_buffer"])
