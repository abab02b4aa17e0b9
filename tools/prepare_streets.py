#!/usr/bin/env python
"""Generate the street data sets ahead of their first use, and verify them.

    python tools/prepare_streets.py --size small --check

They land in $DETECTRON2_DATASETS/drfpn_da_streets/ when that root exists, else in the cache folder.
What exists already is not generated again.
"""

from __future__ import annotations

import argparse
import itertools
import time

from drfpn_da.data.datasets import streets_folder
from drfpn_da.data.synthetic import DOMAINS, SIZES, SPLITS, check_split


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", nargs="+", choices=list(SIZES), default=["mini"])
    parser.add_argument("--domain", nargs="+", choices=DOMAINS, default=list(DOMAINS))
    parser.add_argument("--split", nargs="+", choices=SPLITS, default=list(SPLITS))
    parser.add_argument("--check", action="store_true", help="read everything back and verify it")
    return parser.parse_args()


def main() -> None:
    """Generate each combination of size, domain and split that was asked for."""
    args = parse_args()
    for size, domain, split in itertools.product(args.size, args.domain, args.split):
        start = time.perf_counter()
        folder = streets_folder(size, domain, split)
        print(f"{size} {domain} {split}: {folder} ({time.perf_counter() - start:.1f} s)")
        if args.check:
            counts = check_split(folder, size, split)
            print("  ok: " + ", ".join(f"{number} {name}" for name, number in counts.items()))


if __name__ == "__main__":
    main()
