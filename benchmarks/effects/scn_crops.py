"""SCN's losses and vote policy on CIFAR-10N: pictures whose wrong labels people really gave.

    DETECTRON2_DATASETS=/path/to/datasets python -m benchmarks.effects.scn_crops --seeds 1 2 3

A small network is trained from scratch on 3,200 of the 4,000 pictures with one set of human labels;
accuracy is measured on the other 800 with clean labels. Each picture is an annotation: the outputs
of an epoch are its votes. "Loss threshold" gives the best class to as many pictures as were really
wrong, those of the least probable label; "random" changes as many as the policy did at random.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.effects.scn import judge, summarise
from benchmarks.report import ROOT, format_table, write_report
from drfpn_da.functional import (
    importance_cross_entropy,
    rank_regularisation,
    relabel_by_margin,
)
from drfpn_da.labels import RelabelPolicy, Tally, VoteAccumulator, tally_votes

K, TRAIN, BATCH = 10, 3200, 64
WINDOW, START = 3, 6
_FREE = {"max_fraction": 1.0, "max_total": 1.0, "max_class_loss": 1.0}
ARMS: dict[str, dict[str, Any]] = {
    "clean labels": {"scn": False},
    "plain": {"scn": False},
    "SCN": {"scn": True},
    "SCN + relabel": {"scn": True, "relabel": "votes"},
    "SCN + relabel, low": {"scn": True, "relabel": "votes", "scope": "low"},
    "SCN + relabel, published": {"scn": True, "relabel": "published"},
    "plain + relabel": {"scn": False, "relabel": "votes"},
}


class Network(nn.Module):
    """Three convolutions, a classifier, and the importance layer."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inside, outside in ((3, 32), (32, 64), (64, 128)):
            layers += [nn.Conv2d(inside, outside, 3, padding=1), nn.GroupNorm(8, outside)]
            layers += [nn.ReLU(), nn.MaxPool2d(2)]
        self.body = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten())
        self.score, self.importance = nn.Linear(512, K), nn.Linear(512, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.body(x)
        return self.score(features), self.importance(features)[:, 0].sigmoid()


def load(noise: str) -> tuple[Tensor, Tensor, Tensor]:
    """Pictures (N, 3, 32, 32) normalised, clean labels, and those that people gave."""
    root = Path(os.environ.get("DETECTRON2_DATASETS", "datasets"))
    data = np.load(root / "cifar10n" / "cifar10n_4000.npz", allow_pickle=True)
    images = torch.from_numpy(data["images"]).permute(0, 3, 1, 2).float() / 255
    return (
        (images - images.mean()) / images.std(),
        torch.from_numpy(data["clean_label"]).long(),
        torch.from_numpy(data[noise]).long(),
    )


def run(arm: str, noise: str, seed: int, epochs: int) -> dict[str, Any]:
    """Train one arm; return accuracy and what relabelling did."""
    torch.manual_seed(seed)
    images, clean, noisy = load(noise)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    train, test = order[:TRAIN], order[TRAIN:]
    given = (clean if arm == "clean labels" else noisy)[train]
    options = ARMS[arm]
    policy = RelabelPolicy(scope=options.get("scope", "all"), min_votes=WINDOW, **_FREE)
    labels, streaks, votes = given.clone(), {}, VoteAccumulator(K)
    model = Network()
    optimiser = torch.optim.Adam(model.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs)
    alphas, active, tally = [], [], None
    for epoch in range(epochs):
        new_labels = labels.clone()
        for batch in torch.randperm(TRAIN).split(BATCH):
            x = images[train[batch]]
            x = torch.where(torch.rand(len(x), 1, 1, 1) < 0.5, x.flip(3), x)
            logits, alpha = model(x)
            if options["scn"]:
                rank = rank_regularisation(alpha, 0.7, 0.07)
                loss = importance_cross_entropy(logits, alpha, labels[batch]) + rank
                alphas.append(alpha.detach())
                active.append(float(rank > 0))
            else:
                loss = F.cross_entropy(logits, labels[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            votes.add(batch, logits.softmax(1), torch.ones(len(batch)), alpha)
            if options.get("relabel") == "published" and epoch >= START:
                p = (alpha[:, None] * logits).detach().softmax(1)
                new_labels[batch] = relabel_by_margin(p, labels[batch], 0.2)
        schedule.step()
        labels = new_labels
        if epoch >= START and (epoch - START) % WINDOW == WINDOW - 1:
            tally = tally_votes(votes.state())
            if options.get("relabel") == "votes":
                labels, streaks = decide(policy, tally, labels, given, streaks)
        if epoch < START or (epoch - START) % WINDOW == WINDOW - 1:
            votes.clear()
    model.eval()
    with torch.no_grad():
        predicted = torch.cat([model(images[part])[0].argmax(1) for part in test.split(400)])
    result = {
        "arm": arm,
        "rate": noise,
        "seed": seed,
        "accuracy": 100 * (predicted == clean[test]).float().mean().item(),
    }
    if alphas:
        last = torch.cat(alphas[-TRAIN // BATCH :])
        result["scn/alpha_mean"], result["scn/alpha_std"] = last.mean().item(), last.std().item()
        result["scn/rr_active_frac"] = float(np.mean(active))
        if arm != "clean labels":
            result["AUROC of alpha"] = auroc(tally.alpha, (given != clean[train]).numpy())
    if options.get("relabel"):
        result.update(judged(given, labels, clean[train]))
        if options["relabel"] == "votes":
            result.update(baselines(tally, given, labels, clean[train], seed))
    return result


def decide(
    policy: RelabelPolicy, tally: Tally, labels: Tensor, given: Tensor, streaks: dict
) -> tuple[Tensor, dict]:
    """Apply the policy to the votes of a window."""
    free = np.zeros(len(labels), dtype=bool)
    decisions, streaks = policy.decide(tally, labels.numpy(), given.numpy(), free, streaks)
    labels = labels.clone()
    for decision in decisions:
        labels[decision.index] = decision.new
    return labels, streaks


def baselines(
    tally: Tally, given: Tensor, labels: Tensor, true: Tensor, seed: int
) -> dict[str, float]:
    """Precision of random changes and of a threshold on the label's probability."""
    generator = torch.Generator().manual_seed(seed)
    changed = int((labels != given).sum())
    chosen = torch.randperm(len(given), generator=generator)[:changed]
    guess = given.clone()
    guess[chosen] = (given[chosen] + torch.randint(1, K, (changed,), generator=generator)) % K
    probability = tally.probabilities[np.arange(len(given)), given.numpy()]
    doubtful = torch.from_numpy(np.argsort(probability)[: int((given != true).sum())])
    best = given.clone()
    best[doubtful] = torch.from_numpy(tally.probabilities.argmax(1))[doubtful]
    found = {}
    for name, final in (("random", guess), ("loss threshold", best)):
        found.update({f"{name} {k}": v for k, v in judged(given, final, true).items()})
    return found


def judged(given: Tensor, final: Tensor, true: Tensor) -> dict[str, float]:
    return judge(*(dict(enumerate(t.tolist())) for t in (given, final, true)))


def auroc(alpha: np.ndarray, wrong: np.ndarray) -> float:
    """Chance that a wrong label has a lower importance than a right one."""
    ranks = np.argsort(np.argsort(alpha)) + 1
    n, m = wrong.sum(), (~wrong).sum()
    return float(1 - (ranks[wrong].sum() - n * (n + 1) / 2) / (n * m))


def main() -> None:
    """Run all arms and write ``benchmarks/results/scn_crops.json``."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--noise", nargs="+", default=["aggre_label", "random_label1", "worse_label"]
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--no-report", action="store_true", help="print the table only")
    args = parser.parse_args()
    runs = [
        run(arm, noise, seed, args.epochs)
        for noise in args.noise
        for seed in args.seeds
        for arm in args.arms
    ]
    extra = ["loss threshold precision", "loss threshold recall", "loss threshold harm"]
    columns = ["accuracy", "relabelled", "precision", "recall", "harm", "random precision", *extra]
    columns += ["AUROC of alpha", "scn/alpha_mean", "scn/alpha_std", "scn/rr_active_frac"]
    rows = summarise(runs, columns)
    print(format_table(rows))
    if not args.no_report:
        settings = {"epochs": args.epochs, "window": WINDOW, "start": START, "arms": ARMS}
        write_report(
            ROOT / "benchmarks" / "results" / "scn_crops.json",
            {"settings": settings, "rows": rows, "runs": runs},
        )


if __name__ == "__main__":
    main()
