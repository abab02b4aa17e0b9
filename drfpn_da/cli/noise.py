"""Write wrong classes and the truth: the work of ``drfpn-da data noise``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from ..data.coco import load_coco
from ..data.noise import pairwise_noise, symmetric_noise
from ..visualization import save_text


def run(args: argparse.Namespace) -> tuple[Path, Path]:
    """Write the noisy file and the truth; return their paths."""
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
