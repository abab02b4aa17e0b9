"""SCN's losses and vote policy on CIFAR-10N: pictures whose wrong labels people really gave.

    DETECTRON2_DATASETS=/path/to/datasets python -m benchmarks.effects.scn_crops

Two layers, as in a box head, are trained on pooled features of the pretrained MobileNetV2, on 3,200
of the 4,000 pictures with one set of human labels; accuracy is measured on the other 800 with clean
labels. Each picture is an annotation: the outputs of some epochs are its votes. "Trained anew" is
plain training on the labels that "SCN + relabel" left. The baselines are those of ``scn_heads``.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from detectron2.layers import ShapeSpec
from torch import Tensor, nn

from benchmarks.effects.label_truth import guess, judge, judge_threshold, summarise
from benchmarks.report import RESULTS, format_table, plain_parser, write_report
from drfpn_da.checkpoint import SafeCheckpointer
from drfpn_da.config.setup import base_cfg
from drfpn_da.engine.relabel_votes import Windows
from drfpn_da.functional import rank_regularisation
from drfpn_da.labels import RelabelPolicy, Tally, VoteAccumulator, tally_votes
from drfpn_da.model_zoo import get_config_file
from drfpn_da.modeling.backbone import build_mobilenetv2_backbone

K, TRAIN, BATCH, FOLDS = 10, 3200, 64, 3
SOURCE, ANEW, KFOLD = "SCN + relabel", "trained anew", "loss threshold, k folds"
# Epoch 10 of 70.
PUBLISHED_START = 1 / 7
_FREE = {"max_fraction": 1.0, "max_total": 1.0, "max_class_loss": 1.0}
ARMS: dict[str, dict[str, Any]] = {
    "clean labels": {"scn": False},
    "plain": {"scn": False},
    "SCN": {"scn": True},
    SOURCE: {"scn": True, "relabel": "votes"},
    "SCN + relabel, low": {"scn": True, "relabel": "votes", "scope": "low"},
    "SCN + relabel, published": {"scn": True, "relabel": "published"},
    "plain + relabel": {"scn": False, "relabel": "votes"},
    ANEW: {"scn": False},
    KFOLD: {"scn": False},
}


class Network(nn.Module):
    """Two layers, a classifier, and the importance layer."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        layers = [nn.Linear(channels, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU()]
        self.body = nn.Sequential(*layers)
        self.score, self.importance = nn.Linear(256, K), nn.Linear(256, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.body(x)
        return self.score(features), self.importance(features)[:, 0].sigmoid()


@functools.cache
def load() -> tuple[Tensor, dict[str, Tensor]]:
    """Features (2, N, C) of the pictures and of their mirror images, and all label vectors."""
    root = Path(os.environ.get("DETECTRON2_DATASETS", "datasets"))
    data = np.load(root / "cifar10n" / "cifar10n_4000.npz", allow_pickle=False)
    cfg = base_cfg()
    cfg.merge_from_file(get_config_file("drfpn/Base-MobileNetV2.yaml"))
    body = build_mobilenetv2_backbone(cfg, ShapeSpec(channels=3)).eval()
    wrapped = nn.ModuleDict({"backbone": nn.ModuleDict({"bottom_up": body})})
    SafeCheckpointer(wrapped).load(cfg.MODEL.WEIGHTS)
    mean, std = (
        torch.tensor(v)[:, None, None] for v in (cfg.MODEL.PIXEL_MEAN, cfg.MODEL.PIXEL_STD)
    )
    images = (torch.from_numpy(data["images"]).permute(0, 3, 1, 2).float() - mean) / std
    parts = []
    with torch.no_grad():
        for part in torch.cat([images, images.flip(3)]).split(100):
            maps = body(F.interpolate(part, size=64, mode="bilinear", align_corners=False))
            parts.append(torch.cat([maps[r].mean(dim=(2, 3)) for r in ("res4", "res5")], dim=1))
    features = torch.cat(parts)
    features = (features - features.mean(0)) / features.std(0)
    names = [name for name in data.files if name.endswith(("label", "label1"))]
    labels = {name: torch.from_numpy(data[name]).long() for name in names}
    return features.view(2, len(images), -1), labels


def split(noise: str, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Training features (2, N, C), given and clean labels, and features and labels of the test."""
    features, labels = load()
    clean = labels["clean_label"]
    order = torch.randperm(len(clean), generator=torch.Generator().manual_seed(seed))
    train, test = order[:TRAIN], order[TRAIN:]
    return features[:, train], labels[noise][train], clean[train], features[0, test], clean[test]


def run(noise: str, seed: int, arms: Sequence[str], epochs: int) -> list[dict[str, Any]]:
    """Train the arms on the same labels; return accuracy and what relabelling did."""
    x, given, clean, x_test, y_test = split(noise, seed)
    results, corrected = [], given
    for arm in arms:
        result: dict[str, Any] = {"arm": arm, "rate": noise, "seed": seed}
        if arm == KFOLD:
            p = fold_probabilities(x, given, seed, epochs)
            result.update(judged_threshold(p, given, clean))
        else:
            labels = {"clean labels": clean, ANEW: corrected}.get(arm, given)
            model, labels, found = train(x, labels, ARMS[arm], seed, epochs)
            with torch.no_grad():
                right = model(x_test)[0].argmax(1) == y_test
            result.update(accuracy=100 * right.float().mean().item(), **found)
        if ARMS[arm].get("relabel"):
            result.update(judged(given, labels, clean))
            chance = judged(given, torch.tensor(random_labels(given, labels, seed)), clean)
            result["random precision"] = chance["precision"]
            result["AUROC of alpha"] = auroc(alphas(model, x), (given != clean).numpy())
        if arm == SOURCE:
            corrected = labels
        if arm == "plain":
            result.update(judged_threshold(mean_probabilities(model, x), given, clean))
        results.append(result)
    return results


def train(
    x: Tensor, given: Tensor, options: dict[str, Any], seed: int, epochs: int
) -> tuple[Network, Tensor, dict[str, float]]:
    """Train on labels; return the model, the labels in the end, and statistics of importance."""
    torch.manual_seed(seed)
    model = Network(x.shape[2])
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs)
    policy = RelabelPolicy(scope=options.get("scope", "all"), **_FREE)
    votes = VoteAccumulator(K, policy.class_factors(given.numpy(), K))
    labels, streaks = given.clone(), {}
    windows, importances, active = default_windows(epochs), [], []
    for epoch in range(epochs):
        new_labels = labels.clone()
        for batch in torch.randperm(len(given)).split(BATCH):
            logits, alpha = model(x[torch.randint(2, batch.shape), batch])
            if options["scn"]:
                rank = rank_regularisation(alpha, 0.7, 0.07)
                loss = F.cross_entropy(alpha[:, None] * logits, labels[batch]) + rank
                importances.append(alpha.detach())
                active.append(float(rank > 0))
            else:
                loss = F.cross_entropy(logits, labels[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            if windows.gathers(epoch):
                votes.add(batch, logits.softmax(1), torch.ones(len(batch)), alpha)
            if options.get("relabel") == "published" and epoch >= PUBLISHED_START * epochs:
                p = (alpha[:, None] * logits).detach().softmax(1)
                lead = p.amax(1) - p.gather(1, labels[batch, None])[:, 0]
                new_labels[batch] = torch.where(lead > 0.2, p.argmax(1), labels[batch])
        schedule.step()
        labels = new_labels
        if windows.ends(epoch + 1):
            tally = tally_votes(votes.state())
            votes.clear()
            if options.get("relabel") == "votes":
                labels, streaks = decide(policy, tally, labels, given, streaks)
    found = {}
    if importances:
        last = torch.cat(importances[-(len(given) // BATCH) :])
        found = {"alpha mean": last.mean().item(), "alpha std": last.std().item()}
        found["share of steps with RR"] = float(np.mean(active))
    return model.eval(), labels, found


def default_windows(epochs: int) -> Windows:
    """When relabelling acts by default, in epochs."""
    node = base_cfg().SCN_RELABEL
    shares = (node.START_FRACTION, node.STOP_FRACTION, node.PERIOD_FRACTION)
    return Windows(*(int(share * epochs) for share in shares))


@torch.no_grad()
def mean_probabilities(model: Network, x: Tensor) -> Tensor:
    """(N, K), mean over both views."""
    return torch.stack([model(view)[0].softmax(1) for view in x]).mean(0)


@torch.no_grad()
def alphas(model: Network, x: Tensor) -> np.ndarray:
    """(N,) importances."""
    return model(x[0])[1].numpy()


def fold_probabilities(x: Tensor, given: Tensor, seed: int, epochs: int) -> Tensor:
    """(N, K) of plain training that never saw the picture."""
    fold, p = torch.arange(len(given)) % FOLDS, torch.zeros(len(given), K)
    for k in range(FOLDS):
        model, _, _ = train(x[:, fold != k], given[fold != k], {"scn": False}, seed, epochs)
        p[fold == k] = mean_probabilities(model, x[:, fold == k])
    return p


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


def random_labels(given: Tensor, labels: Tensor, seed: int) -> list[int]:
    """Labels of which as many were changed at random."""
    changed = int((labels != given).sum())
    return list(guess(dict(enumerate(given.tolist())), changed, seed).values())


def judged_threshold(p: Tensor, given: Tensor, true: Tensor) -> dict[str, float]:
    """Judge a threshold on the label's probability."""
    rows = {i: dict(enumerate(row)) for i, row in enumerate(p.tolist())}
    first, last = (dict(enumerate(t.tolist())) for t in (given, true))
    found = judge_threshold(first, rows, last)
    return {f"loss threshold {key}": value for key, value in found.items()}


def judged(given: Tensor, final: Tensor, true: Tensor) -> dict[str, float]:
    return judge(*(dict(enumerate(t.tolist())) for t in (given, final, true)))


def auroc(alpha: np.ndarray, wrong: np.ndarray) -> float:
    """Chance that a wrong label has a lower importance than a right one."""
    ranks = np.argsort(np.argsort(alpha)) + 1
    n, m = wrong.sum(), (~wrong).sum()
    return float(1 - (ranks[wrong].sum() - n * (n + 1) / 2) / (n * m))


def main() -> None:
    """Run all arms and write ``benchmarks/results/scn_crops.json``."""
    parser = plain_parser(__doc__)
    parser.add_argument(
        "--noise", nargs="+", default=["aggre_label", "random_label1", "worse_label"]
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--no-report", action="store_true", help="print the table only")
    args = parser.parse_args()
    torch.set_num_threads(1)
    jobs = [(noise, seed, args.arms, args.epochs) for noise in args.noise for seed in args.seeds]
    runs = [result for job in jobs for result in run(*job)]
    columns = ["accuracy", "relabelled", "precision", "recall", "harm", "random precision"]
    columns += [f"loss threshold {key}" for key in ("precision", "recall", "harm")]
    columns += ["AUROC of alpha", "alpha mean", "alpha std", "share of steps with RR"]
    rows = summarise(runs, columns)
    print(format_table(rows))
    if not args.no_report:
        settings = {"epochs": args.epochs, "folds": FOLDS, "arms": ARMS}
        write_report(
            RESULTS / "scn_crops.json",
            {"settings": settings, "rows": rows, "runs": runs},
        )


if __name__ == "__main__":
    main()
