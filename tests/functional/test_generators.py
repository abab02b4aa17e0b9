"""The scheme of seeds: every number of a position matters, and everything that draws follows it."""

import ast
import itertools
from pathlib import Path

import torch

from drfpn_da.data.seeding import Stream
from drfpn_da.functional.generators import derive_seed, part_of_step, step_generator

PACKAGE = Path(__file__).resolve().parents[2] / "drfpn_da"
#: The only files that seed a generator with a number: those of the scheme, and what draws for a
#: report or a selection from a seed of its own.
SEEDED = {
    "functional/generators.py",
    "functional/domain_distance.py",
    "functional/mixup.py",
    "data/seeding.py",
    "data/labelled_share.py",
    "data/noise.py",
    "data/synthetic/writer.py",
    "labels/selection.py",
}
SEEDERS = {"manual_seed", "seed", "RandomState", "default_rng", "SeedSequence", "Random"}


def test_data_are_ordered_and_augmented_as_ever():
    assert derive_seed(5, Stream.SAMPLER) == 16823399
    assert derive_seed(5, Stream.STEP, 7, 1) == 2469543117


def test_each_step_process_part_and_use_draws_by_itself():
    seen = []
    for seed, rank, iteration, part in itertools.product((1, 2), (0, 1), range(20), (0, 1)):
        torch.manual_seed(derive_seed(seed, Stream.STEP, iteration, rank))
        with part_of_step(part):
            uses = ("", "a", "b", "ab", "ba", "mixup", "a much longer name of a use")
            seen += [step_generator(iteration, use).initial_seed() for use in uses]
    assert len(set(seen)) == len(seen)


def test_processes_that_a_stock_trainer_seeds_draw_different_numbers():
    """It adds the process's number to the seed, once, before training."""
    seen = []
    for seed in range(5, 13):
        torch.manual_seed(seed)
        seen += [step_generator(i, use).initial_seed() for i in range(300) for use in "ab"]
    assert len(set(seen)) == len(seen)


def test_nothing_else_seeds_a_generator():
    found = set()
    # Commands that draw examples are no training: they seed the process they have to themselves.
    for path in sorted(set(PACKAGE.rglob("*.py")) - set(PACKAGE.glob("cli/*.py"))):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                if node.func.attr in SEEDERS:
                    found.add(path.relative_to(PACKAGE).as_posix())
    assert found == SEEDED, f"{sorted(found ^ SEEDED)}: draw from step_generator or derive_seed"
