"""Start processes as detectron2 does, or join those that torchrun started."""

from __future__ import annotations

import argparse
import os
from typing import Any, Callable

import torch
from detectron2.engine import launch as launch_processes
from detectron2.utils import comm

#: What torchrun tells each process.
VARIABLES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def launch(main: Callable[[argparse.Namespace], Any], args: argparse.Namespace) -> Any:
    """Run ``main(args)`` in every process of a run.

    Under torchrun this process is one of them; else ``--num-gpus`` processes are started here, of
    ``--num-machines`` machines, by detectron2's launcher. Without a GPU they are CPU processes.

    Args:
        main: trains or evaluates.
        args: of detectron2's argument parser.

    Returns:
        What ``main`` returned, where it ran in this process.

    Raises:
        ValueError: the command line asks for processes beside those of torchrun.
    """
    if not all(name in os.environ for name in VARIABLES):
        return launch_processes(
            main,
            args.num_gpus,
            num_machines=args.num_machines,
            machine_rank=args.machine_rank,
            dist_url=args.dist_url,
            args=(args,),
        )
    if args.num_gpus > 1 or args.num_machines > 1:
        raise ValueError(
            f"torchrun has started {os.environ['WORLD_SIZE']} processes, but --num-gpus "
            f"{args.num_gpus} and --num-machines {args.num_machines} ask for others: leave both "
            "out, and give torchrun --nnodes and --nproc-per-node"
        )
    return _join(main, args)


def _join(main: Callable[[argparse.Namespace], Any], args: argparse.Namespace) -> Any:
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    torch.distributed.init_process_group("nccl" if cuda else "gloo", init_method="env://")
    comm.create_local_process_group(int(os.environ["LOCAL_WORLD_SIZE"]))
    comm.synchronize()
    results = main(args)
    # Together, or threads of the group may abort; after an error torchrun ends the others.
    comm.synchronize()
    torch.distributed.destroy_process_group()
    return results
