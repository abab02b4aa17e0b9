"""Semantic segmentation metrics with the conventions said aloud."""

from __future__ import annotations

import logging
from collections import OrderedDict
from typing import Any

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import SemSegEvaluator
from detectron2.utils import comm

from drfpn_da.compat import has_opencv, load_label_map, supported_kwargs

from .boundary import boundary_confusion, iou_of_counts

logger = logging.getLogger(__name__)


class MIoUEvaluator(SemSegEvaluator):
    """detectron2's ``SemSegEvaluator`` with one definition of the mean on every detectron2.

    ``mIoU`` is the mean over the classes that occur in the ground truth; the others are named in
    the log. ``mIoU_absent_zero`` also counts, as 0, classes that are predicted but absent: the
    mean of older detectron2. ``mIoU_all_classes`` counts every class, as 0 where it is in neither:
    the mean that UniMatch (2208.09910) reports. Pixels with ``metadata.ignore_label`` count
    nowhere.

    With OpenCV there are also ``BoundaryIoU-<class>`` and ``mBoundaryIoU``, the mean over the
    classes that occur. detectron2's own figures of that name are left out: it subtracts an eroded
    label map from the label map, so that the ids of boundaries depend on the neighbouring class.
    """

    def __init__(
        self, dataset_name: str, distributed: bool = True, output_dir: str | None = None
    ) -> None:
        """Check the dataset and build the evaluator.

        Raises:
            ValueError: if the metadata lack ``stuff_classes`` or ``ignore_label``, or a record
                lacks ``sem_seg_file_name``.
        """
        _check_dataset(dataset_name)
        super().__init__(
            dataset_name,
            distributed,
            output_dir,
            **supported_kwargs(SemSegEvaluator.__init__, sem_seg_loading_fn=self._load_labels),
        )

        # Absent in older detectron2, where nothing reads it.
        self._compute_boundary_iou = False
        self._boundary = np.zeros(0)

    def reset(self) -> None:
        """Forget all pictures."""
        super().reset()
        self._boundary = np.zeros((self._num_classes + 1,) * 2, dtype=np.int64)

    def process(self, inputs: list[dict], outputs: list[dict]) -> None:
        """Count the pixels of pictures; see detectron2's class."""
        super().process(inputs, outputs)
        if not has_opencv():
            return
        for x, output in zip(inputs, outputs):
            predicted = output["sem_seg"].argmax(dim=0).cpu().numpy()
            truth = self._load_labels(self.input_file_to_gt_file[x["file_name"]], dtype=np.int64)
            self._boundary += boundary_confusion(truth, predicted, self._num_classes)

    def _load_labels(self, filename: str, dtype: Any = None, copy: bool = False) -> np.ndarray:
        labels = load_label_map(filename, dtype=dtype)
        strange = (labels != self._ignore_label) & ((labels < 0) | (labels >= self._num_classes))
        if strange.any():
            raise ValueError(
                f"{filename}: label {int(labels[strange][0])} is neither one of the "
                f"{self._num_classes} classes (0 to {self._num_classes - 1}) nor the ignore label "
                f"{self._ignore_label}. Correct the file or the metadata of '{self._dataset_name}'."
            )
        return labels

    def evaluate(self) -> OrderedDict | None:
        """Return ``{"sem_seg": {metric: percent}}`` on the main process, None on the others."""
        results = super().evaluate()
        boundary = sum(comm.gather(self._boundary) if self._distributed else [self._boundary])
        if results is None:
            return None
        # Rows are predictions, columns ground truth; the last of each is the ignored label.
        confusion = self._conf_matrix[:-1, :-1].astype(float)
        true_positive, in_truth = confusion.diagonal(), confusion.sum(axis=0)
        union = in_truth + confusion.sum(axis=1) - true_positive
        iou = 100 * true_positive / np.maximum(union, 1)
        present = in_truth > 0
        results["sem_seg"]["mIoU"] = _mean(iou[present])
        results["sem_seg"]["mIoU_absent_zero"] = _mean(iou[union > 0])
        results["sem_seg"]["mIoU_all_classes"] = _mean(iou)
        if has_opencv():
            edge, edge_union = iou_of_counts(np.asarray(boundary))
            results["sem_seg"]["mBoundaryIoU"] = _mean(edge[present])
            for name, value, pixels in zip(self._class_names, edge, edge_union):
                results["sem_seg"][f"BoundaryIoU-{name}"] = value if pixels else float("nan")
        absent = [name for name, here in zip(self._class_names, present) if not here]
        logger.info(
            "mIoU is the mean over the %d of %d classes that occur in the ground truth%s.",
            present.sum(),
            len(present),
            f"; absent: {', '.join(absent)}" if absent else "",
        )
        return results


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else float("nan")


def _check_dataset(dataset_name: str) -> None:
    metadata = MetadataCatalog.get(dataset_name)
    missing = [key for key in ("stuff_classes", "ignore_label") if metadata.get(key) is None]
    if missing:
        raise ValueError(
            f"Dataset '{dataset_name}' cannot be evaluated as semantic segmentation: its metadata "
            f"lack {' and '.join(missing)}. Set them with MetadataCatalog.get(...).set(...)."
        )
    records = DatasetCatalog.get(dataset_name)
    unlabelled = [r["file_name"] for r in records if "sem_seg_file_name" not in r]
    if unlabelled:
        raise ValueError(
            f"Dataset '{dataset_name}': {len(unlabelled)} of {len(records)} pictures have no "
            f"sem_seg_file_name, the first is {unlabelled[0]}."
        )
