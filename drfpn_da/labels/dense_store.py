"""Soft labels of every pixel on disk, replaced all at once (arXiv 1908.02983, for segmentors)."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..files import write_whole

VERSION = 1


class DenseLabelStore:
    """Class probabilities of pictures, in rounds; those of one round are read.

    A round is a folder with a float16 array (C, ceil(H / stride), ceil(W / stride)) for each
    picture. It exists once :meth:`finish` has been called, so that a killed process leaves no half
    of one.

    Args:
        folder: of the store; made when the first round begins.
        file_names: of all pictures.
        class_names: of the C classes.
        stride: pixels of the labelled map for one of the store.

    Raises:
        ValueError: the folder holds a store of other pictures, classes or stride, or none.
    """

    def __init__(
        self, folder: Path, file_names: Sequence[str], class_names: Sequence[str], stride: int
    ) -> None:
        if stride < 1:
            raise ValueError(f"MODEL.PSEUDO_LABEL.STORE.STRIDE is {stride}; write at least 1")
        self.folder, self.stride = Path(folder), stride
        self.class_names = tuple(class_names)
        self._number = {name: i for i, name in enumerate(sorted(set(file_names)))}
        self._identity = {
            "version": VERSION,
            "classes": list(self.class_names),
            "stride": stride,
            "pictures": len(self._number),
            "sha256": hashlib.sha256("\n".join(self._number).encode()).hexdigest(),
        }
        self.rounds: list[int] = self._read_index()
        #: The round that is read; None: none yet.
        self.current: int | None = None

    def write(self, iteration: int, file_name: str, probabilities: Tensor) -> None:
        """Write a picture's label of a round that is not finished.

        Args:
            iteration: names the round.
            file_name: of the picture.
            probabilities: (C, H, W), of the whole picture.

        Raises:
            KeyError: a picture that the store does not know.
            ValueError: another number of classes.
        """
        if len(probabilities) != len(self.class_names):
            raise ValueError(
                f"{file_name} was labelled with {len(probabilities)} classes, but the store "
                f"{self.folder} has {len(self.class_names)}: {list(self.class_names)[:8]}"
            )
        height, width = (-(-size // self.stride) for size in probabilities.shape[-2:])
        small = F.adaptive_avg_pool2d(probabilities[None].float(), (height, width))[0]
        path = self._path(iteration, file_name)
        values = small.to("cpu", torch.float16).numpy()
        # Many files: the round counts only once the index names it.
        write_whole(path, lambda file: np.save(file, values), durable=False)

    def finish(self, iteration: int, keep: Iterable[int] = ()) -> None:
        """Make a round that is written completely the one that is read; by one process.

        Args:
            iteration: names the round.
            keep: other rounds that stay; the rest is removed.

        Raises:
            RuntimeError: a picture's label is missing.
        """
        for name in self._number:
            if not self._path(iteration, name).is_file():
                raise RuntimeError(f"round {iteration} of {self.folder} has no label of {name}")
        gone = [r for r in self.rounds if r not in (iteration, *keep)]
        self.rounds = sorted({iteration, *self.rounds} - set(gone))
        index = json.dumps({**self._identity, "rounds": self.rounds}, indent=1).encode()
        write_whole(self.folder / "index.json", lambda file: file.write(index))
        for number in gone:  # after the index no longer names them
            shutil.rmtree(self._round(number), ignore_errors=True)
        self.current = iteration

    def open(self, iteration: int) -> bool:
        """Read from a round from now on; return whether it exists."""
        self.rounds = self._read_index()
        found = iteration in self.rounds
        self.current = iteration if found else None
        return found

    def read(self, file_name: str) -> Tensor:
        """Return a picture's label (C, h, w), float32, rows over classes with sum 1.

        Raises:
            KeyError: a picture that the store does not know.
            RuntimeError: no round is open.
            ValueError: the file is damaged.
        """
        if self.current is None:
            raise RuntimeError(f"the store {self.folder} has no labels yet: no round is finished")
        path = self._path(self.current, file_name)
        try:
            values = torch.from_numpy(np.load(path, allow_pickle=False).astype(np.float32))
            assert values.dim() == 3 and len(values) == len(self.class_names)
        except (OSError, ValueError, EOFError, AssertionError) as error:
            raise ValueError(
                f"{path} (soft label of {file_name}) is no readable label ({error}): remove the "
                f"folder {self.folder} and resume; the labels are then made anew"
            ) from error
        return values / values.sum(dim=0, keepdim=True)

    def _path(self, iteration: int, file_name: str) -> Path:
        if file_name not in self._number:
            raise KeyError(
                f"{file_name} is not among the {len(self._number)} pictures of the store "
                f"{self.folder}: it is made of DATASETS.TARGET, from which pictures must come"
            )
        return self._round(iteration) / f"{self._number[file_name]:07d}.npy"

    def _round(self, iteration: int) -> Path:
        return self.folder / f"round_{iteration:07d}"

    def _read_index(self) -> list[int]:
        path = self.folder / "index.json"
        if not path.exists():
            return []
        try:
            found = json.loads(path.read_text())
            rounds = [int(r) for r in found.pop("rounds")]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path} is no index of soft labels ({error}): remove the folder or choose another "
                "OUTPUT_DIR"
            ) from error
        for key, mine in self._identity.items():
            if found.get(key) != mine:
                raise ValueError(
                    f"{path} is of a store with {key} {found.get(key)}, but this run has {mine}: "
                    "resume with the same DATASETS.TARGET, classes and "
                    "MODEL.PSEUDO_LABEL.STORE.STRIDE, or choose another OUTPUT_DIR"
                )
        return rounds
