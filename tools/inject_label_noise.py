#!/usr/bin/env python
r"""Write a COCO file with wrong classes, and the truth beside it, to study label noise.

    python tools/inject_label_noise.py instances.json --output noisy.json --rate 0.2 --seed 1
    python tools/inject_label_noise.py instances.json --output noisy.json --rate 0.3 \
        --confuse car=truck truck=car

The truth goes to `noisy.truth.json`: settings, counts, and every changed annotation. Neither is
written over an existing file.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from drfpn_da.data.coco import load_coco
from drfpn_da.data.noise import pairwise_noise, symmetric_noise
from drfpn_da.visualization import save_text


def parse_args(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("annotations", type=Path, help="COCO instances, not changed")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--rate", type=float, required=True, help="probability in [0, 1]")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--class-rate", nargs="+", default=[], metavar="NAME=RATE", help="rates of single classes"
    )
    parser.add_argument(
        "--confuse", nargs="+", default=[], metavar="FROM=TO", help="only these confusions"
    )
    args = parser.parse_args(words)
    if args.class_rate and args.confuse:
        parser.error("--class-rate belongs to symmetric noise, without --confuse")
    return args


def main(words: Sequence[str] | None = None) -> tuple[Path, Path]:
    """Write the noisy file and the truth; return their paths."""
    args = parse_args(words)
    try:
        data = load_coco(args.annotations)
    except (OSError, ValueError) as error:
        raise SystemExit(str(error)) from None
    if args.confuse:
        noisy, truth = pairwise_noise(data, args.rate, _pairs(args.confuse), args.seed)
    else:
        rates = _rates(args.class_rate)
        noisy, truth = symmetric_noise(data, args.rate, args.seed, rates)
    noisy_path = save_text(json.dumps(noisy), args.output)
    truth_path = save_text(json.dumps(truth), noisy_path.with_suffix(".truth.json"))
    print(f"{noisy_path}: {truth['changed']} of {truth['annotations']} labels changed")
    print(f"{truth_path}: the truth")
    return noisy_path, truth_path


def _rates(words: Sequence[str]) -> dict[str, float]:
    try:
        return {name: float(value) for name, value in _pairs(words).items()}
    except ValueError as error:
        raise ValueError(f"--class-rate {' '.join(words)}: write NAME=RATE, as car=0.3") from error


def _pairs(words: Sequence[str]) -> dict[str, str]:
    for word in words:
        if "=" not in word:
            raise ValueError(f"'{word}' is not of the form NAME=VALUE")
    return dict(word.split("=", 1) for word in words)


if __name__ == "__main__":
    main()
