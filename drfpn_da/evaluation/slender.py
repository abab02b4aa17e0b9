"""COCO metrics by slenderness: where a detector fails on thin things.

After Wan et al., "Slender Object Detection: Diagnoses and Improvements" (arXiv 2011.08529, section
3), without what distorts the published numbers; ``docs/slender.md`` names the differences.
"""

from __future__ import annotations

import itertools
import logging
from collections import OrderedDict
from collections.abc import Iterable, Sequence
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
        distributed: bool = True,
        output_dir: str | None = None,
        *,
        bins: Sequence[Bin] = SLENDERNESS_BINS,
        aspect_bins: Sequence[Bin] = ASPECT_BINS,
        legacy_fp_rule: bool = False,
        **kwargs: Any,
    ) -> None:
        """Take what :class:`FastCOCOEvaluator` takes, and the bins.

        Args:
            dataset_name: see there.
            tasks: see there.
            distributed: see there.
            output_dir: see there.
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
        super().__init__(dataset_name, tasks, distributed, output_dir, **kwargs)
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
        slender: dict[str, dict[str, float]] = OrderedDict()
        if self._do_evaluation:
            # First: the ordinary evaluation changes annotations and predictions.
            found = list(itertools.chain.from_iterable(p["instances"] for p in predictions))
            measured = [p["mask_measures"] for p in predictions if "mask_measures" in p]
            measures = np.concatenate([np.empty((0, 5)), *measured])
            tasks = self._tasks or self._tasks_from_predictions(found)
            for task in sorted(tasks):
                scores = self._score(found, task, measures, img_ids)
                log_scores(logger, task, scores)
                slender[f"{task}_slender"] = scores.results()
        super()._eval_predictions(predictions, img_ids)
        self._results.update(slender)

    def _score(
        self, found: list[dict], task: str, mask_measures: np.ndarray, img_ids: Any
    ) -> SlenderScores:
        api = self._coco_api
        images = sorted(api.getImgIds() if img_ids is None else set(img_ids))
        categories = sorted(api.getCatIds())
        image_index = {image: i for i, image in enumerate(images)}
        category_index = {category: i for i, category in enumerate(categories)}
        annotations = [
            annotation
            for annotation in api.loadAnns(api.getAnnIds(imgIds=images))
            if annotation["category_id"] in category_index
        ]
        truth = Annotations(
            image=np.array([image_index[a["image_id"]] for a in annotations], dtype=np.int64),
            category=np.array(
                [category_index[a["category_id"]] for a in annotations], dtype=np.int64
            ),
            boxes=_boxes(annotations),
            masks=[api.annToRLE(a) for a in annotations] if task == "segm" else None,
            crowd=np.array([bool(a.get("iscrowd", 0)) for a in annotations], dtype=bool),
        )
        if img_ids is not None:
            kept = [i for i, f in enumerate(found) if f["image_id"] in image_index]
            found = [found[i] for i in kept]
            mask_measures = mask_measures[kept] if task == "segm" else mask_measures
        found_shapes = Detections(
            image=_look_up(
                image_index, (f["image_id"] for f in found), "image", self._metadata.name
            ),
            category=self._categories(found, category_index),
            boxes=_boxes(found),
            masks=[f["segmentation"] for f in found] if task == "segm" else None,
            scores=np.array([f["score"] for f in found], dtype=float),
        )
        path = PathManager.get_local_path(self._metadata.json_file)
        boxes = mask_measures[:, 1:] if task == "segm" else found_shapes.boxes
        found_slenderness = slenderness_from_sides(torch.from_numpy(boxes[:, 2:])).numpy()
        if task == "segm":
            # Masks without a pixel have no rectangle.
            measured = mask_measures[:, 0]
            found_slenderness = np.where(np.isnan(measured), found_slenderness, measured)
        return score_bins(
            truth,
            found_shapes,
            bins=self._bins,
            aspect_bins=self._aspect_bins,
            truth_measures=(file_slenderness(path, annotations), box_aspect(truth.boxes)),
            found_measures=(found_slenderness, box_aspect(boxes)),
            class_names=[str(api.cats[c].get("name", c)) for c in categories],
            legacy_fp_rule=self._legacy_fp_rule,
            limits=tuple(sorted(self._max_dets_per_image)),
        )

    def _categories(self, found: list[dict], category_index: dict[int, int]) -> np.ndarray:
        mapping = self._metadata.get("thing_dataset_id_to_contiguous_id")
        index = category_index
        if mapping is not None:
            index = {new: category_index[old] for old, new in mapping.items()}
        return _look_up(index, (f["category_id"] for f in found), "class", self._metadata.name)


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


def _look_up(index: dict[int, int], keys: Iterable[int], kind: str, dataset: str) -> np.ndarray:
    try:
        return np.fromiter(map(index.__getitem__, keys), dtype=np.int64)
    except KeyError as error:
        raise ValueError(
            f"A prediction is of {kind} {error}, which dataset '{dataset}' does not have: the "
            "model or its inputs belong to another dataset."
        ) from None


def _boxes(items: Sequence[dict]) -> np.ndarray:
    sides = itertools.chain.from_iterable(item["bbox"] for item in items)
    return np.fromiter(sides, dtype=float).reshape(-1, 4)
