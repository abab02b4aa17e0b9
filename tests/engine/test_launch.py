"""torchrun's processes are joined; on the command line alone, detectron2 starts them."""

import argparse
import json
import subprocess
import sys

import pytest

from drfpn_da.engine import launch

SCRIPT = """
import json, sys
from detectron2.utils import comm
from drfpn_da.config import argument_parser
from drfpn_da.engine import launch

def main(args):
    ranks = comm.all_gather((comm.get_rank(), comm.get_local_rank()))
    if comm.is_main_process():
        json.dump([comm.get_world_size(), ranks, args.opts], open(args.config_file, "w"))

launch(main, argument_parser().parse_args())
"""


def test_processes_of_torchrun_are_joined(tmp_path, repository, monkeypatch):
    (tmp_path / "script.py").write_text(SCRIPT)
    monkeypatch.setenv("PYTHONPATH", str(repository))
    words = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    words += [str(tmp_path / "script.py"), "--config-file", str(tmp_path / "seen.json")]
    subprocess.run([sys.executable, *words, "SEED", "3"], check=True, timeout=300)
    assert json.loads((tmp_path / "seen.json").read_text()) == [
        2,
        [[0, 0], [1, 1]],
        ["SEED", "3"],
    ]


def test_without_torchrun_this_process_runs():
    args = argparse.Namespace(num_gpus=1, num_machines=1, machine_rank=0, dist_url="auto")
    seen = []
    launch(seen.append, args)
    assert seen == [args]


def test_two_launchers_at_once_are_refused(monkeypatch):
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR"):
        monkeypatch.setenv(name, "2")
    monkeypatch.setenv("MASTER_PORT", "1")
    args = argparse.Namespace(num_gpus=2, num_machines=1, machine_rank=0, dist_url="auto")
    with pytest.raises(ValueError, match=r"torchrun has started 2 processes.*--nproc-per-node"):
        launch(print, args)
