"""One soft label for each picture, replaced once an epoch (Arazo et al., arXiv 1908.02983)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import one_hot

#: How far a soft label's sum may be from 1.
TOLERANCE = 1e-4


class SoftLabelStore:
    """A table of class probabilities, (N, C) in float32 on the CPU.

    Rows of labelled pictures are one-hot and never change. The others have no label until
    :meth:`assign` gives one; what :meth:`visit` then gathers takes effect with :meth:`end_epoch`
    and replaces the former label, without averaging (section 3 of the paper).

    Args:
        classes: class of each picture, -1 where it has no label.
        class_names: of the C classes.
        sha256: identifies pictures, order and given classes.

    Raises:
        ValueError: a class outside the names.
    """

    def __init__(self, classes: Sequence[int], class_names: Sequence[str], sha256: str) -> None:
        given = torch.as_tensor(classes, dtype=torch.long)
        self.class_names, self.sha256 = tuple(class_names), sha256
        count = len(self.class_names)
        if len(given) and not -1 <= int(given.min()) <= int(given.max()) < count:
            raise ValueError(
                f"classes from {int(given.min())} to {int(given.max())} do not fit the {count} "
                f"class names {list(self.class_names)[:8]}"
            )
        self.labelled = given >= 0
        self.table = one_hot(given.clamp(min=0), count).float() * self.labelled[:, None]
        self._known = self.labelled.clone()
        self._next = torch.zeros_like(self.table)
        self._visited = torch.zeros_like(self.labelled)
        self.epochs = 0

    def __len__(self) -> int:
        return len(self.table)

    @property
    def is_complete(self) -> bool:
        """Whether every picture has a label."""
        return bool(self._known.all())

    def targets(self, index: Tensor) -> Tensor:
        """Return the (K, C) present labels of pictures.

        Args:
            index: (K,) int64.

        Raises:
            ValueError: a picture has no label yet.
        """
        unknown = index[~self._known[index]]
        if len(unknown):
            raise ValueError(
                f"picture {int(unknown[0])} has no soft label yet: label all pictures once before "
                "training on them (SoftLabelHook does after MODEL.SOFT_LABELS.WARMUP_ITERS)"
            )
        return self.table[index]

    def assign(self, index: Tensor, probabilities: Tensor) -> None:
        """Give pictures without labels a soft label that holds at once.

        Args:
            index: (K,) int64.
            probabilities: (K, C), rows with sum 1.

        Raises:
            ValueError: a labelled picture, or no probabilities.
        """
        self.table[index] = self._checked(index, probabilities)
        self._known[index] = True

    def visit(self, index: Tensor, probabilities: Tensor) -> None:
        """Gather soft labels for the next epoch; arguments and errors as of :meth:`assign`."""
        self._next[index] = self._checked(index, probabilities)
        self._visited[index] = True

    def end_epoch(self, zero_unvisited: bool = False) -> int:
        """Replace the labels of the pictures that the epoch visited.

        Args:
            zero_unvisited: parity with the released code, where pictures that the epoch left out
                train on an all-zero target until they are visited; else they keep their label.

        Returns:
            How many labels were replaced.
        """
        replaced = int(self._visited.sum())
        self.table[self._visited] = self._next[self._visited]
        if zero_unvisited:
            self.table[~self._visited & ~self.labelled] = 0.0
        self._next.zero_()
        self._visited.zero_()
        self.epochs += 1
        return replaced

    def state_dict(self) -> dict[str, Any]:
        """Return everything that a resumed run needs, also amid an epoch."""
        return {
            "sha256": self.sha256,
            "class_names": list(self.class_names),
            "table": self.table.clone(),
            "known": self._known.clone(),
            "next": self._next.clone(),
            "visited": self._visited.clone(),
            "epochs": self.epochs,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from :meth:`state_dict`.

        Raises:
            ValueError: it is of other classes or other pictures.
        """
        if list(state["class_names"]) != list(self.class_names):
            raise ValueError(
                f"the soft labels of the checkpoint are of the classes "
                f"{list(state['class_names'])[:8]}, the training data have "
                f"{list(self.class_names)[:8]}: resume with the data of that run"
            )
        if state["sha256"] != self.sha256:
            raise ValueError(
                f"the soft labels of the checkpoint are of other pictures or given labels "
                f"({len(state['table'])} pictures, SHA-256 {state['sha256'][:12]}...; now "
                f"{len(self)}, {self.sha256[:12]}...): resume with the same DATASETS.TRAIN, "
                "DATASETS.TARGET and DATASETS.LABELLED, or start a new run"
            )
        self.table, self._known = state["table"].clone(), state["known"].clone()
        self._next, self._visited = state["next"].clone(), state["visited"].clone()
        self.epochs = int(state["epochs"])

    def _checked(self, index: Tensor, probabilities: Tensor) -> Tensor:
        if self.labelled[index].any():
            number = int(index[self.labelled[index]][0])
            raise ValueError(f"picture {number} is labelled: its label never changes")
        rows = probabilities.detach().to("cpu", torch.float32)
        if rows.shape != (len(index), self.table.shape[1]):
            raise ValueError(
                f"soft labels of {len(index)} pictures have shape {tuple(rows.shape)}, expected "
                f"({len(index)}, {self.table.shape[1]})"
            )
        # Written so that NaN fails.
        good = ((rows.sum(dim=1) - 1).abs() <= TOLERANCE) & (rows >= 0).all(dim=1)
        if not good.all():
            first = int((~good).nonzero()[0])
            raise ValueError(
                f"the soft label of picture {int(index[first])} is {rows[first].tolist()[:8]}, "
                "which are no probabilities with sum 1"
            )
        return rows
