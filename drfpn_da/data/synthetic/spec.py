"""Sizes and domains of the generated streets: the one table."""

from __future__ import annotations

from dataclasses import dataclass

#: Part of every path and seed. Raise it when the same seed would give other files.
VERSION = "1"
DOMAINS = ("clear", "foggy")
SPLITS = ("train", "val", "sequences")


@dataclass(frozen=True)
class StreetSpec:
    """Numbers and sizes of the images of one domain.

    Attributes:
        width: image width, pixels.
        height: image height, pixels.
        train: pictures for training.
        val: pictures for evaluation.
        sequences: number of sequences, every second one with driving cars.
        frames: frames of each sequence.
    """

    width: int
    height: int
    train: int
    val: int
    sequences: int
    frames: int


SIZES = {
    # Tests and smoke runs: seconds.
    "mini": StreetSpec(256, 128, train=48, val=16, sequences=4, frames=3),
    # Effects studies on a CPU.
    "small": StreetSpec(320, 160, train=800, val=200, sequences=60, frames=5),
    # The demonstration (make demo): as much as half a minute allows.
    "demo": StreetSpec(256, 128, train=160, val=24, sequences=2, frames=2),
    # Studies of segmentation with many arms and seeds on a CPU.
    "tiny": StreetSpec(128, 64, train=400, val=200, sequences=2, frames=2),
}


def scene_seed(size: str, domain: str, split: str, index: int) -> list[int]:
    """Return the seed of one scene; no two scenes of all sizes, domains and splits share it."""
    place = (list(SIZES).index(size), DOMAINS.index(domain), SPLITS.index(split))
    return [int(VERSION), *place, index]
