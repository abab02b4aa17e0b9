"""Generate and verify streets: the work of ``drfpn-da data streets``."""

from __future__ import annotations

import argparse
import itertools
import time

from ..data.datasets import streets_folder
from ..data.synthetic import check_split


def run(args: argparse.Namespace) -> None:
    """Generate each combination of size, domain and split that was asked for."""
    for size, domain, split in itertools.product(args.size, args.domain, args.split):
        start = time.perf_counter()
        folder = streets_folder(size, domain, split)
        print(f"{size} {domain} {split}: {folder} ({time.perf_counter() - start:.1f} s)")
        if args.check:
            counts = check_split(folder, size, split)
            print("  ok: " + ", ".join(f"{number} {name}" for name, number in counts.items()))
