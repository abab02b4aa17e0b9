"""Quality of the pixel labels of a teacher, measured against true labels."""

from __future__ import annotations

import zlib
from collections import OrderedDict
from typing import Any

import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm
from torch import Tensor

from ..compat import load_label_map
from ..functional.label_quality import calibration_error, reliability_bins
from .pseudo_label_quality import class_divergence

#: Stands for a label that was right.
RIGHT = -1
#: Bins of the calibration error and of the reliability diagram.
BINS = 15


class DenseLabelQualityEvaluator(DatasetEvaluator):
    """Accuracy, IoU, calibration, class frequencies and stickiness of pixel labels.

    Results under ``"pseudo_label"``, of pixels that are truly labelled: ``labelled_share``, those
    whose most probable class reaches the threshold; ``accuracy`` and ``mIoU`` (over classes in the
    ground truth; pixels below the threshold are misses) of these labels; ``calibration_error`` of
    all predictions, ``stickiness``, the share of the predictions wrong in the first round that are
    the same wrong class, both whatever the threshold; all in percent; and ``class_divergence``,
    KL(true || labels), in nats.

    Args:
        dataset_name: registered, with ``sem_seg_file_name``, ``stuff_classes``, ``ignore_label``.
        threshold: in [0, 1].
        stride: every so many pixels of rows and columns are looked at.
        distributed: gather the results of all processes.
        first: labels that were wrong in the first round by file, as :func:`pack_labels` packs
            them; an empty dict is filled. Hand the same dict to the evaluators of later rounds.

    Attributes:
        reliability: after :meth:`evaluate`; see :func:`drfpn_da.functional.reliability_bins`.

    Raises:
        ValueError: the threshold is out of range.
    """

    def __init__(
        self,
        dataset_name: str,
        threshold: float = 0.0,
        stride: int = 4,
        distributed: bool = True,
        first: dict[str, Tensor] | None = None,
    ) -> None:
        if not 0 <= threshold <= 1:
            raise ValueError(f"threshold is {threshold}; write a number in [0, 1]")
        metadata = MetadataCatalog.get(dataset_name)
        self._classes, self._ignore = len(metadata.stuff_classes), metadata.ignore_label
        self._files = {
            record["file_name"]: record["sem_seg_file_name"]
            for record in DatasetCatalog.get(dataset_name)
        }
        self._threshold, self._stride, self._distributed = threshold, stride, distributed
        self._first = {} if first is None else first
        self.reliability: list[dict[str, float]] = []
        self.reset()

    def reset(self) -> None:
        """Forget all pictures."""
        # Rows are true classes, columns labels; the last column: below the threshold.
        self._counts = torch.zeros(self._classes, self._classes + 1, dtype=torch.float64)
        self._confidence: list[Tensor] = []
        self._correct: list[Tensor] = []
        # Wrong in the first round, and the same now.
        self._errors = torch.zeros(2, dtype=torch.float64)

    def process(self, inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> None:
        """Take pictures with ``file_name`` and their logits ``sem_seg``, (C, H, W)."""
        for given, output in zip(inputs, outputs):
            name, step = given["file_name"], self._stride
            truth = torch.as_tensor(load_label_map(self._files[name], dtype=int))[::step, ::step]
            scores = output["sem_seg"][:, ::step, ::step].float().softmax(dim=0).cpu()
            known = truth != self._ignore
            confidence, labels = (values[known] for values in scores.max(dim=0))
            truth = truth[known]
            self._confidence.append(confidence)
            self._correct.append(labels == truth)
            column = labels.where(confidence >= self._threshold, labels.new_tensor(self._classes))
            cells = truth * (self._classes + 1) + column
            self._counts += torch.bincount(cells, minlength=self._counts.numel()).view_as(
                self._counts
            )
            if name not in self._first:
                self._first[name] = pack_labels(labels.where(labels != truth, RIGHT))
            first = unpack_labels(self._first[name])
            wrong = (first != RIGHT) & (first != truth)
            self._errors += torch.tensor([int(wrong.sum()), int((wrong & (labels == first)).sum())])

    def evaluate(self) -> OrderedDict[str, dict[str, float]] | None:
        """Return ``{"pseudo_label": {metric: value}}`` on the main process, None on others.

        Raises:
            ValueError: no pixel has a true label.
        """
        own = (
            torch.cat([*self._confidence, torch.zeros(0)]),
            torch.cat([*self._correct, torch.zeros(0, dtype=torch.bool)]),
            self._counts,
            self._errors,
        )
        parts = comm.gather(own) if self._distributed else [own]
        if not parts:
            return None
        confidence, correct = (torch.cat([part[k] for part in parts]) for k in (0, 1))
        counts, errors = (torch.stack([part[k] for part in parts]).sum(dim=0) for k in (2, 3))
        if not len(confidence):
            raise ValueError("no pixel with a true label was evaluated")
        self.reliability = reliability_bins(confidence, correct, BINS)
        labels, true = counts[:, :-1], counts.sum(dim=1)
        hits, present = labels.diagonal(), true > 0
        iou = hits / (true + labels.sum(dim=0) - hits).clamp(min=1)
        result = {
            "labelled_share": float(100 * labels.sum() / counts.sum()),
            "accuracy": float(100 * hits.sum() / labels.sum()),
            "mIoU": float(100 * iou[present].mean()),
            "calibration_error": 100 * calibration_error(self.reliability),
            "stickiness": float(100 * errors[1] / errors[0]),
            "class_divergence": class_divergence(true, labels.sum(dim=0)),
        }
        return OrderedDict(pseudo_label=result)


def pack_labels(labels: Tensor) -> Tensor:
    """Compress labels, (N,), without loss.

    The labels of a round over the pictures of Cityscapes, which checkpoints hold, are 131 MB as
    they are; most of them are right and the same as their neighbours.

    Returns:
        (B,) bytes.
    """
    return torch.frombuffer(
        bytearray(zlib.compress(labels.to(torch.int16).numpy().tobytes())), dtype=torch.uint8
    )


def unpack_labels(packed: Tensor) -> Tensor:
    """Return the (N,) labels that :func:`pack_labels` compressed; int16 is none of its bytes."""
    if packed.dtype == torch.int16:  # as they are, right ones among them, in older checkpoints
        return packed.long()
    labels = bytearray(zlib.decompress(packed.numpy().tobytes()))
    if not labels:  # of a picture without a known pixel
        return torch.zeros(0, dtype=torch.long)
    return torch.frombuffer(labels, dtype=torch.int16).long()
