"""Timing and memory for every speed benchmark: runs interleaved in one process, medians."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Callable

import torch


def timed(run: Callable[[], object], device: str) -> float:
    """Seconds of one call; on a GPU between two events of its own queue."""
    if device == "cuda":
        return _timed_by_events(run)
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _timed_by_events(run: Callable[[], object]) -> float:
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    start.record()
    run()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end) / 1e3


def computed(run: Callable[[], object], device: str = "cpu") -> float:
    """Seconds that one call needs, whatever other programs do.

    On a CPU the processor time of all threads, on another device as :func:`timed`.
    """
    if device != "cpu":
        return timed(run, device)
    start = time.process_time()
    run()
    return time.process_time() - start


def measure(runs: dict[str, Callable[[], float]], rounds: int, warmup: int = 2) -> dict[str, float]:
    """Median seconds of each run; every round runs all of them once."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for i in range(warmup + rounds):
        for name, run in runs.items():
            seconds = run()
            if i >= warmup:
                times[name].append(seconds)
    return {name: statistics.median(values) for name, values in times.items()}


def peak_growth(run: Callable[[], object], device: str) -> float:
    """MiB by which one call raises the peak memory of device or process."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak to the present
    start = _read_peak_kib()
    run()
    return (_read_peak_kib() - start) / 1024


def _read_peak_kib() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])
