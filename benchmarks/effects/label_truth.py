"""What the studies of label noise share: noisy files, and labels judged by the hidden truth.

Relabel precision is the share of changed annotations that now have their true class, recall the
share of flipped ones that are restored, harm the share of right ones that were changed.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

import numpy as np

from drfpn_da.data.noise import Confusions, pairwise_noise, symmetric_noise
from drfpn_da.labels import RelabelStore

#: Annotation id -> class name.
Labels = Mapping[Any, Any]


def make_noise(
    clean: Path, folder: Path, rate: float, seed: int, confusions: Optional[Confusions] = None
) -> Path:
    """Write the noisy annotation file of a seed, and its truth beside it, unless they exist.

    Args:
        clean: COCO JSON.
        folder: to write in.
        rate: share of flipped classes.
        seed: of the flips.
        confusions: class -> the one it is taken for; None: any other (symmetric).
    """
    kind = "pairwise" if confusions else "symmetric"
    path = folder / f"{kind}_{rate:g}_seed{seed}.json"
    if not path.exists():
        data = json.loads(clean.read_text())
        if confusions:
            noisy, truth = pairwise_noise(data, rate, confusions, seed)
        else:
            noisy, truth = symmetric_noise(data, rate, seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".truth.json").write_text(json.dumps(truth))
        path.write_text(json.dumps(noisy))
    return path


def read_truth(noisy: Path) -> tuple[dict, dict]:
    """Return the noisy and the true class name of every annotation but crowds."""
    data = json.loads(noisy.read_text())
    truth = json.loads(noisy.with_suffix(".truth.json").read_text())
    names = {c["id"]: c["name"] for c in data["categories"]}
    labels = {a["id"]: names[a["category_id"]] for a in data["annotations"] if not a["iscrowd"]}
    return labels, {**labels, **{f["id"]: names[f["true"]] for f in truth["flips"]}}


def judge_journal(journal: Path, noisy: Path, seed: int) -> dict[str, float]:
    """Judge the labels in the end, proposals as if applied, and as many random changes."""
    labels, true = read_truth(noisy)
    corrections = RelabelStore.load(journal).corrections(proposed=True)
    final = {**labels, **{key[1]: name for key, name in corrections.items()}}
    guesses = guess(labels, sum(final[i] != labels[i] for i in labels), seed)
    chance = judge(labels, guesses, true)
    return {**judge(labels, final, true), **{f"random {k}": v for k, v in chance.items()}}


def guess(labels: Labels, count: int, seed: int) -> dict:
    """Return labels of which so many were changed at random."""
    rng, names = random.Random(seed), sorted(set(labels.values()))
    chosen = rng.sample(sorted(labels), count)
    return {**labels, **{i: rng.choice([n for n in names if n != labels[i]]) for i in chosen}}


def judge(labels: Labels, final: Labels, true: Labels) -> dict[str, float]:
    """Compare final labels with the noisy and the true ones; percentages, NaN where undefined."""
    changed = [i for i in labels if final[i] != labels[i]]
    flipped = [i for i in labels if true[i] != labels[i]]
    right = sum(final[i] == true[i] for i in changed)
    harmed = sum(true[i] == labels[i] for i in changed)

    def percent(part: int, whole: int) -> float:
        return 100 * part / whole if whole else float("nan")

    return {
        "relabelled": percent(len(changed), len(labels)),
        "precision": percent(right, len(changed)),
        "recall": percent(sum(final[i] == true[i] for i in flipped), len(flipped)),
        "harm": percent(harmed, len(labels) - len(flipped)),
    }


def judge_threshold(labels: Labels, probabilities: Mapping, true: Labels) -> dict[str, float]:
    """Judge a threshold on the loss that knows how many labels are wrong.

    That many annotations, those of the least probable label, get their most probable class.

    Args:
        labels: noisy.
        probabilities: annotation id -> {class name: probability}.
        true: labels.
    """
    flipped = sum(true[i] != labels[i] for i in labels)
    doubtful = sorted(labels, key=lambda i: (probabilities[i].get(labels[i], 0.0), i))[:flipped]
    best = {i: max(probabilities[i], key=probabilities[i].get) for i in doubtful}
    return judge(labels, {**labels, **best}, true)


def summarise(runs: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> list[dict[str, Any]]:
    """Mean and standard deviation over seeds, by rate and arm."""
    rows = []
    for rate, arm in dict.fromkeys((r["rate"], r["arm"]) for r in runs):
        mine = [r for r in runs if (r["rate"], r["arm"]) == (rate, arm)]
        row: dict[str, Any] = {"flipped": rate, "arm": arm, "seeds": len(mine)}
        for column in columns:
            values = np.array([r[column] for r in mine if column in r and np.isfinite(r[column])])
            spread = f" ± {values.std(ddof=1):.2f}" if len(values) > 1 else ""
            row[column] = f"{values.mean():.2f}{spread}" if len(values) else ""
        rows.append(row)
    return rows
