"""The published rule of relabelling, against which golden values and the policy are held."""

import torch


def relabel_by_margin(probabilities, labels, margin, among=None):
    """Return the most probable classes where they exceed the labels' by a margin, else the labels.

    Args:
        probabilities: (N, K).
        labels: (N,) in [0, K).
        margin: must be exceeded strictly.
        among: indices that may change; None: all.
    """
    best, target = probabilities.max(dim=1)
    change = best - probabilities.gather(1, labels[:, None])[:, 0] > margin
    if among is not None:
        change &= torch.isin(torch.arange(len(labels)), among)
    return torch.where(change, target, labels)
