"""A function in two gloo processes that end together."""

import argparse
import os
import socket

import torch.multiprocessing as mp

from drfpn_da.engine import launch

# Imported once, by the server from which all pairs of processes are forked.
PRELOADED = ["drfpn_da.engine", "detectron2.engine"]


def run_in_two_processes(function, *args):
    """Call a function of a module with these arguments in both; an error in either is raised."""
    mp.set_forkserver_preload(PRELOADED)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    mp.start_processes(_join, (port, function, args), nprocs=2, start_method="forkserver")


def _join(rank, port, function, args):
    os.environ.update(
        RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2", LOCAL_WORLD_SIZE="2",
        MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port),
    )  # fmt: skip
    launch(lambda _: function(*args), argparse.Namespace(num_gpus=1, num_machines=1))
