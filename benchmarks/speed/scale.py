"""How time and memory grow with the data set: relabelling, slenderness, selection.

    python -m benchmarks.speed.scale
    python -m benchmarks.speed.scale --sizes 10000 100000

Annotations, votes and features are simulated; nothing is trained. Memory is the peak of the
process above what it held before the step. The exponent is that of the last two sizes:
log(time ratio) / log(size ratio), 1 for time in proportion, 2 for a quadratic step. Times are
processor time.

    votes       VoteAccumulator over one window: every annotation gets 4 votes, 512 a step, 20
                classes; added up as in training
    decisions   RelabelPolicy on those votes; a tenth of the annotations changes
    store       record these decisions, look up labels and locks
    journal     write and read them
    review      settle all of them at once
    slenderness measure polygons of 12 corners, then ask again
    selection   50 farthest points of as many pictures, 64 features each
"""

from __future__ import annotations

import gc
import math
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.report import RESULTS, format_table, plain_parser, write_report
from benchmarks.timing import peak_growth
from drfpn_da.data.slenderness import file_slenderness
from drfpn_da.functional import LazyDistances
from drfpn_da.labels import (
    AnnotationIndex,
    Decision,
    RelabelPolicy,
    RelabelStore,
    VoteAccumulator,
    select_diverse,
    tally_votes,
)
from drfpn_da.labels.annotations import DatasetIdentity
from drfpn_da.labels.votes import Tally

CLASSES, VOTES, A_STEP, CHANGED = 20, 4, 512, 0.1
Steps = dict[str, Callable[[], Any]]


def simulate_annotations(size: int) -> AnnotationIndex:
    """Annotations of one data set, 7 a picture."""
    rng = np.random.default_rng(0)
    names = tuple(f"class {i}" for i in range(CLASSES))
    pictures = [i // 7 for i in range(size)]
    return AnnotationIndex(
        datasets=(DatasetIdentity("simulated", "", "00" * 32, names, size),),
        dataset=np.zeros(size, dtype=np.int64),
        annotation_ids=tuple(range(size)),
        image_ids=tuple(pictures),
        file_names=tuple(f"{picture}.jpg" for picture in pictures),
        classes=rng.integers(0, CLASSES, size),
        boxes=rng.random((size, 4)) * 100,
        crowd=np.zeros(size, dtype=bool),
    )


def simulate_decisions(annotations: AnnotationIndex) -> list[Decision]:
    """Decisions that change a tenth of the annotations."""
    changed = range(0, len(annotations), int(1 / CHANGED))
    olds = annotations.classes
    return [
        Decision(i, int(olds[i]), int(olds[i] + 1) % CLASSES, 0.2, 0.7, 0.6, 12, 0.9)
        for i in changed
    ]


def votes(size: int) -> Steps:
    """Gather a window of votes."""
    rng = torch.Generator().manual_seed(0)
    accumulator = VoteAccumulator(CLASSES)

    def gather() -> None:
        for _ in range(VOTES):
            for index in torch.randperm(size, generator=rng).split(A_STEP):
                probabilities = torch.rand(len(index), CLASSES, generator=rng).softmax(dim=1)
                weight = torch.rand(len(index), generator=rng)
                accumulator.add(index, probabilities, weight, weight)
        tally_votes(accumulator.state())

    return {"votes": gather}


def decisions(size: int) -> Steps:
    """Decide on a window."""
    rng = np.random.default_rng(0)
    given = rng.integers(0, CLASSES, size)
    probabilities = rng.dirichlet(np.full(CLASSES, 0.1), size)
    wanted = np.where(rng.random(size) < 0.8, given, probabilities.argmax(axis=1))
    probabilities[np.arange(size), wanted] += 2
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    counts = np.eye(CLASSES, dtype=np.int64)[wanted] * VOTES
    tally = Tally(np.arange(size), probabilities, np.full(size, 0.5), np.full(size, VOTES), counts)
    locked = np.zeros(size, dtype=bool)

    def decide() -> None:
        streaks: dict[int, tuple[int, int]] = {}
        for _ in range(2):  # the second window changes what both agree on
            found, streaks = RelabelPolicy().decide(tally, given, given, locked, streaks)
        assert len(found) > size * CHANGED / 2

    return {"decisions": decide}


def store(size: int) -> Steps:
    """Record, look up, write, read and review."""
    annotations = simulate_annotations(size)
    changes = simulate_decisions(annotations)
    filled = RelabelStore(annotations.datasets)
    folder = tempfile.TemporaryDirectory()
    path = Path(folder.name) / "relabels.jsonl"

    def record() -> None:
        filled.record(changes, annotations, 100)
        filled.labels(annotations)
        filled.locked(annotations)

    def journal() -> None:
        filled.save(path)
        assert len(RelabelStore.load(path).entries) == len(changes)

    def review() -> None:
        filled.review({entry.key: True for entry in filled.entries})
        folder.cleanup()

    return {"store": record, "journal": journal, "review": review}


def slenderness(size: int) -> Steps:
    """Measure polygons, then ask for them again."""
    angles = np.linspace(0, 2 * math.pi, 12, endpoint=False)
    sides = np.random.default_rng(0).uniform(2, 90, (size, 2))
    polygons = [
        [np.stack([np.cos(angles) * w, np.sin(angles) * h], axis=1).ravel().tolist()]
        for w, h in sides
    ]
    shapes = [{"id": i, "segmentation": polygon} for i, polygon in enumerate(polygons)]

    def twice() -> None:
        first = file_slenderness(__file__, shapes)
        assert np.array_equal(first, file_slenderness(__file__, shapes))

    return {"slenderness": twice}


def selection(size: int) -> Steps:
    """Select 50 of the pictures."""
    vectors = torch.rand(size, 64, generator=torch.Generator().manual_seed(0))
    return {"selection": lambda: select_diverse(LazyDistances(vectors), 50, 0)}


PARTS: dict[str, Callable[[int], Steps]] = {
    f.__name__: f for f in (votes, decisions, store, slenderness, selection)
}


def measure_part(name: str, size: int) -> list[dict[str, Any]]:
    """Return seconds and MiB of the steps of a part."""
    rows = []
    gc.collect()
    for step, run in PARTS[name](size).items():
        start = time.process_time()
        growth = peak_growth(run, "cpu")
        seconds = time.process_time() - start
        rows.append({"part": step, "size": size, "seconds": seconds, "MiB": growth})
        print(f"{step} {size}: {seconds:.2f} s, {growth:.0f} MiB", flush=True)
    return rows


def exponents(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Return the exponent of each part between its two largest sizes."""
    found = {}
    for part in dict.fromkeys(row["part"] for row in rows):
        mine = sorted((r for r in rows if r["part"] == part), key=lambda r: r["size"])[-2:]
        if len(mine) == 2:
            small, large = mine
            ratio = max(large["seconds"], 1e-9) / max(small["seconds"], 1e-9)
            found[part] = math.log(ratio) / math.log(large["size"] / small["size"])
    return found


def main() -> None:
    """Measure, and write ``benchmarks/results/scale.json``."""
    parser = plain_parser(__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--output", type=Path, default=RESULTS / "scale.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = [row for name in PARTS for n in sorted(args.sizes) for row in measure_part(name, n)]
    print(format_table(rows))
    print(exponents(rows))
    write_report(args.output, {"rows": rows, "exponents": exponents(rows)})


if __name__ == "__main__":
    main()
