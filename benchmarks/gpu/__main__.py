"""Everything that only a GPU can tell, in the given minutes: checks first, then speed and memory.

    python -m benchmarks.gpu --minutes 10
    python -m benchmarks.gpu --minutes 5 --only "check" "neck"      # cases with one of these words
    python -m benchmarks.gpu --device cpu --minutes 1               # smoke run without a GPU

Needs no network and no data: pictures are random or generated, weights are random. Cases are
ordered by what they tell; checks may take ``CHECK_SHARE`` of the time, those left follow at the
end. After each case the tables are written, ``.json`` and ``.md``, with what was left out and why;
a case that is under way when time is up is stopped. Exit status: 1 if a check or a case failed.

Times are medians between CUDA events, steps in turns in one process. "x plain" is against the plain
model's step on the labelled pictures alone. Peaks are above what model and inputs hold.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import signal
import time
import traceback
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks.report import RESULTS, ROOT, plain_parser

from .cases import CHECKS, Case, build_cases, select
from .checks import Skip
from .record import Record

#: Of the time, for checks before anything else.
CHECK_SHARE = 0.5


class TimeIsUp(BaseException):
    """Raised in the middle of a case; no handler of errors in between may swallow it."""


def main(arguments: list[str] | None = None) -> int:
    """Run the cases that fit; return the exit status."""
    args = parse(arguments)
    torch.set_num_threads(args.threads)
    settings = {k: v for k, v in vars(args).items() if k not in ("output", "only")}
    record = Record(args.output, {**settings, **describe_gpu(args.device)})
    end = time.monotonic() + args.minutes * 60
    cases = build_cases(args)
    failed = run_all(select(cases, args.only) if args.only else cases, record, end, args.device)
    print(record.markdown())
    print(f"written: {args.output} and {args.output.with_suffix('.md')}")
    return int(failed)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line.

    Raises:
        SystemExit: there is no GPU for ``--device cuda``.
    """
    parser = plain_parser(__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="all in all (%(default)s)")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--only", nargs="+", metavar="WORDS", help="cases with one of these words")
    for name, size in (("large", (800, 1344)), ("small", (128, 256))):
        words = ("HEIGHT", "WIDTH")
        parser.add_argument(f"--{name}", type=int, nargs=2, default=size, metavar=words)
    parser.add_argument("--rounds", type=int, help="of which the median is taken; 9, on a CPU 1")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--output", type=Path, help="default: benchmarks/results/gpu.json")
    args = parser.parse_args(arguments)
    if args.device == "cuda" and not torch.cuda.is_available():
        parser.error("there is no CUDA device; for a smoke run write --device cpu")
    on_gpu = args.device == "cuda"
    args.rounds = args.rounds or (9 if on_gpu else 1)
    smoke = ROOT / "output" / f"gpu_smoke_{time.strftime('%Y%m%d_%H%M%S')}.json"
    args.output = args.output or (RESULTS / "gpu.json" if on_gpu else smoke)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    return args


def describe_gpu(device: str) -> dict[str, Any]:
    """What torch says about the GPU and its libraries."""
    if device != "cuda":
        return {}
    about = torch.cuda.get_device_properties(0)
    return {
        "gpu": about.name,
        "capability": f"{about.major}.{about.minor}",
        "GiB": round(about.total_memory / 2**30, 1),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
    }


def run_all(cases: list[Case], record: Record, end: float, device: str) -> bool:
    """Run cases until the end, ``time.monotonic()``; return whether one failed."""
    begin = time.monotonic()
    until = begin + CHECK_SHARE * (end - begin)
    queue, failed = deque(cases), False
    longest: dict[str, float] = {}
    while queue:
        case = queue.popleft()
        now = time.monotonic()
        if case.table == CHECKS and now > until and any(c.table != CHECKS for c in queue):
            queue.append(case)
            continue
        if case.gpu and device == "cpu":
            record.leave_out(case.name, "needs a GPU")
        elif end - now <= longest.get(case.table, 0.0):
            record.leave_out(case.name, "no time left")
        else:
            print(f"[{now - begin:.0f} s] {case.name}", flush=True)
            failed |= run_case(case, record, end - now, device)
            taken = time.monotonic() - now
            longest[case.table] = max(taken, longest.get(case.table, 0.0))
    return failed


def run_case(case: Case, record: Record, seconds: float, device: str) -> bool:
    """Run one case, for so many seconds at most; return whether it, or a check of it, failed."""
    try:
        with time_limit(seconds):
            rows = case.run()
    except TimeIsUp:
        record.leave_out(case.name, "stopped when time was up")
    except Skip as reason:
        record.leave_out(case.name, str(reason))
    except Exception as error:
        # The other cases may well run: a GPU that is there for minutes is not given up.
        traceback.print_exc()
        record.leave_out(case.name, f"failed: {type(error).__name__}: {str(error)[:300]}")
        return True
    else:
        record.add(case.table, rows)
        return any(row.get("result") == "FAILED" for row in rows)
    finally:
        gc.collect()
        if device == "cuda":
            torch.cuda.empty_cache()
    return False


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise :class:`TimeIsUp` in the block once it has taken so long."""

    def stop(*_: Any) -> None:
        raise TimeIsUp

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-3))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


if __name__ == "__main__":
    raise SystemExit(main())
