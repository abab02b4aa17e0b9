"""A function in two gloo processes that end together."""

import torch.distributed as dist
from detectron2.engine import launch
from detectron2.utils import comm


def run_in_two_processes(function, *args):
    """Call a function of a module with these arguments in both; an error in either is raised."""
    launch(_call, 2, dist_url="auto", args=(function, *args))


def _call(function, *args):
    function(*args)
    # One that left while threads of its group were alive would now and then abort at its exit.
    comm.synchronize()
    dist.destroy_process_group()
