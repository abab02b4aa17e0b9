"""COCO metrics by slenderness: where a detector fails on thin things.

After Wan et al., "Slender Object Detection: Diagnoses and Improvements" (arXiv 2011.08529, section
3), without what distorts the published numbers; ``docs/slender.md`` names the differences.
"""

from __future__ import annotations

import itertools
import logging
import operator
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pycocotools.mask as mask_util
import torch
from detectron2.utils.file_io import PathManager

from ..data.slenderness import box_aspect, file_slenderness, rle_slenderness
from ..functional.slenderness import slenderness_from_sides
from .coco import FastCOCOEvaluator
from .slender_bins import ASPECT_BINS, SLENDERNESS_BINS, Bin, parse_bins
from .slender_matching import Annotations, Detections
from .slender_report import SlenderScores, log_scores, score_bins

logger = logging.getLogger(__name__)


class SlenderCOCOEvaluator(FastCOCOEvaluator):
    """The COCO evaluator, and beside its results those by slenderness.

    For each of the tasks "bbox" and "segm" there is a further one, "bbox_slender" and
    "segm_slender", with ``AP``, ``AP50``, ``AP75``, ``AR@1``, ``AR@10``, ``AR@100`` and ``mAR``,
    over all annotations and by bin (``AP-XS``), the number of annotations (``count-XS``) and, by
    class, ``AP-XS-<class>``. All but counts are percents; NaN: no annotation in the bin.

    An annotation lies in a bin by the slenderness of its mask (of its box, if it has none), or by
    the width over height of its box. A detection that matches nothing is an error in its own bin
    only: by its box in the task "bbox", so axis-aligned, by its mask in "segm".

    ``mAR`` is the paper's recall: each class by itself, 100 detections per image, greatest overlap
    first. ``AR`` is COCO's.
    """

    def __init__(
        self,
        dataset_name: str,
        tasks: tuple[str, ...] | None = None,
        *args: Any,
        bins: Sequence[Bin] = SLENDERNESS_BINS,
        aspect_bins: Sequence[Bin] = ASPECT_BINS,
        legacy_fp_rule: bool = False,
        **kwargs: Any,
    ) -> None:
        """Take what :class:`FastCOCOEvaluator` takes, and the bins.

        Args:
            dataset_name: see there.
            tasks: see there.
            args: see there.
            bins: of slenderness.
            aspect_bins: of width over height; may be empty.
            legacy_fp_rule: detections that match nothing leave a bin of slenderness by their width
                over height, as in the published code: wide errors are then forgiven. Only for
                comparison with published numbers.
            kwargs: see there.

        Raises:
            ValueError: for keypoints; malformed, unsorted or overlapping bins, two of one name.
        """
        _refuse_keypoints(tasks or ())
        bins = parse_bins(bins)
        aspect_bins = parse_bins(aspect_bins, "aspect_bins") if aspect_bins else ()
        names = [this.name for this in (*bins, *aspect_bins)]
        if len(set(names)) < len(names):
            raise ValueError(f"Bins of slenderness and of aspect need different names, are {names}")
        super().__init__(dataset_name, tasks, *args, **kwargs)
        self._bins = bins
        self._aspect_bins = aspect_bins
        self._legacy_fp_rule = legacy_fp_rule

    def process(self, inputs: list[dict], outputs: list[dict]) -> None:
        """Take a batch; see ``COCOEvaluator``.

        Raises:
            ValueError: the outputs have keypoints and the tasks are not named.
        """
        if self._tasks is None and any(
            "instances" in output and output["instances"].has("pred_keypoints")
            for output in outputs
        ):
            _refuse_keypoints(("keypoints",))
        before = len(self._predictions)
        super().process(inputs, outputs)
        # Here and not at the end: every process measures its own masks.
        for prediction in self._predictions[before:]:
            measure_masks(prediction)

    def _eval_predictions(self, predictions: list[dict], img_ids: Any = None) -> None:
        self._overlaps: dict[str, dict[tuple[int, int], np.ndarray]] = {}
        if self._do_evaluation:
            # First: the ordinary evaluation turns polygons into masks.
            self._slenderness(list(self._coco_api.anns.values()))
        super()._eval_predictions(predictions, img_ids)
        for task, overlaps in self._overlaps.items():
            scores = self._score(predictions, task == "segm", overlaps, img_ids)
            log_scores(logger, task, scores)
            self._results[f"{task}_slender"] = scores.results()

    def _derive_coco_results(
        self, coco_eval: Any, iou_type: str, class_names: Any = None
    ) -> dict[str, float]:
        # Whatever the backend, its overlaps are those that the bins need too.
        self._overlaps[iou_type] = {} if coco_eval is None else coco_eval.ious
        return super()._derive_coco_results(coco_eval, iou_type, class_names)  # type: ignore[no-any-return]

    def _slenderness(self, annotations: Sequence[dict]) -> np.ndarray:
        return file_slenderness(PathManager.get_local_path(self._metadata.json_file), annotations)

    def _score(
        self,
        predictions: list[dict],
        masks: bool,
        overlaps: Mapping[tuple[int, int], np.ndarray],
        img_ids: Any,
    ) -> SlenderScores:
        api = self._coco_api
        image_ids = sorted(api.getImgIds() if img_ids is None else set(img_ids))
        images = {image: i for i, image in enumerate(image_ids)}
        categories = {category: i for i, category in enumerate(sorted(api.getCatIds()))}
        annotations = [
            annotation
            for annotation in api.loadAnns(api.getAnnIds(imgIds=image_ids))
            if annotation["category_id"] in categories
        ]
        if img_ids is not None:
            predictions = [p for p in predictions if p["image_id"] in images]
        truth = Annotations(
            image=_indices(annotations, "image_id", images),
            category=_indices(annotations, "category_id", categories),
            crowd=np.array([bool(a.get("iscrowd", 0)) for a in annotations], dtype=bool),
        )
        found, *measures = self._detections(predictions, masks, images, categories)
        return score_bins(
            truth,
            found,
            {
                (images[image], categories[category]): values
                for (image, category), values in overlaps.items()
                if len(values)
            },
            bins=self._bins,
            aspect_bins=self._aspect_bins,
            truth_measures=(self._slenderness(annotations), box_aspect(_boxes(annotations))),
            found_measures=measures,
            class_names=[str(api.cats[c].get("name", c)) for c in categories],
            legacy_fp_rule=self._legacy_fp_rule,
            limits=tuple(sorted(self._max_dets_per_image)),
        )

    def _detections(
        self,
        predictions: list[dict],
        masks: bool,
        images: dict[int, int],
        categories: dict[int, int],
    ) -> tuple[Detections, np.ndarray, np.ndarray]:
        """The detections by indices of images and classes; slenderness; width over height."""
        instances = [p["instances"] for p in predictions]
        found = list(itertools.chain.from_iterable(instances))
        measured = [p["mask_measures"] for p in predictions if "mask_measures" in p]
        measures = np.concatenate([np.empty((0, 5)), *measured])
        boxes = measures[:, 1:] if masks else _boxes(found)
        slenderness = slenderness_from_sides(torch.from_numpy(boxes[:, 2:])).numpy()
        if masks:
            # Masks without a pixel have no rectangle.
            slenderness = np.where(np.isnan(measures[:, 0]), slenderness, measures[:, 0])
        new_categories = self._metadata.get("thing_dataset_id_to_contiguous_id")
        if new_categories is not None:
            categories = {new: categories[old] for old, new in new_categories.items()}
        image = _indices(predictions, "image_id", images)
        shapes = Detections(
            image=np.repeat(image, [len(items) for items in instances]),
            category=_indices(found, "category_id", categories),
            scores=np.fromiter(map(operator.itemgetter("score"), found), float, len(found)),
        )
        return shapes, slenderness, box_aspect(boxes)


def measure_masks(prediction: dict[str, Any]) -> None:
    """Put slenderness and boxes of the masks of one image's predictions, if any, beside them.

    Args:
        prediction: as ``COCOEvaluator`` keeps it; gets "mask_measures", (N, 5): slenderness (NaN
            without a pixel) and x, y, width and height of each mask.
    """
    masks = [f["segmentation"] for f in prediction.get("instances", ()) if "segmentation" in f]
    if masks:
        boxes = np.asarray(mask_util.toBbox(masks), dtype=float)
        prediction["mask_measures"] = np.column_stack([rle_slenderness(masks), boxes])


def _refuse_keypoints(tasks: Sequence[str]) -> None:
    if "keypoints" in tasks:
        raise ValueError(
            "Keypoints are not evaluated by slenderness: the size of an object is part of their "
            "similarity. Set TEST.SLENDER.ENABLED False, or MODEL.KEYPOINT_ON False."
        )


def _indices(items: Sequence[dict], key: str, index: dict[int, int]) -> np.ndarray:
    values = map(index.__getitem__, map(operator.itemgetter(key), items))
    return np.fromiter(values, np.int64, len(items))


def _boxes(items: Sequence[dict]) -> np.ndarray:
    sides = itertools.chain.from_iterable(map(operator.itemgetter("bbox"), items))
    return np.fromiter(sides, float, 4 * len(items)).reshape(-1, 4)
