"""Training data whose annotations are known by number in the model, so that labels can change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional

import torch
from detectron2.config import CfgNode
from detectron2.data import (
    DatasetCatalog,
    DatasetMapper,
    MetadataCatalog,
    get_detection_dataset_dicts,
)
from detectron2.data import detection_utils as utils

from ..files import real_names
from ..labels.annotations import (
    ANNOTATION_INDEX,
    AnnotationIndex,
    file_sha256,
    index_annotations,
)


class IndexedMapper(DatasetMapper):
    """``DatasetMapper`` whose instances have ``gt_annotation_index``, (N,) int64.

    The number stays with its instance whatever augmentation removes. Draws the same random numbers
    as its parent.
    """

    def _transform_annotations(
        self, dataset_dict: dict[str, Any], transforms: Any, image_shape: tuple[int, int]
    ) -> None:
        kept = [a for a in dataset_dict.pop("annotations") if not a.get("iscrowd", 0)]
        unused = [("segmentation", self.use_instance_mask), ("keypoints", self.use_keypoint)]
        for name in [name for name, used in unused if not used]:
            for annotation in kept:
                annotation.pop(name, None)
        index = [annotation[ANNOTATION_INDEX] for annotation in kept]
        transformed = [
            utils.transform_instance_annotations(
                annotation,
                transforms,
                image_shape,
                keypoint_hflip_indices=self.keypoint_hflip_indices,
            )
            for annotation in kept
        ]
        instances = utils.annotations_to_instances(
            transformed, image_shape, mask_format=self.instance_mask_format
        )
        instances.gt_annotation_index = torch.tensor(index, dtype=torch.int64)
        if self.recompute_boxes and instances.has("gt_masks"):  # there are none without annotations
            instances.gt_boxes = instances.gt_masks.get_bounding_boxes()
        dataset_dict["instances"] = utils.filter_empty_instances(instances)


def load_indexed(
    names: Sequence[str],
    filter_empty: bool = True,
    min_keypoints: int = 0,
    proposal_files: Optional[Sequence[str]] = None,
) -> tuple[list[dict[str, Any]], AnnotationIndex]:
    """Load data sets as ``get_detection_dataset_dicts`` does, with their annotations numbered.

    Args:
        names: registered data sets.
        filter_empty: leave out pictures that have only crowds or nothing.
        min_keypoints: leave out pictures with fewer.
        proposal_files: one for each data set, if proposals are precomputed.

    Returns:
        All records, whose annotations have "annotation_index", and what is known of those.

    Raises:
        ValueError: see :func:`drfpn_da.labels.index_annotations`.
    """
    files = [[file] for file in proposal_files] if proposal_files else [None] * len(names)
    datasets = [
        (name, get_detection_dataset_dicts([name], filter_empty, min_keypoints, file))
        for name, file in zip(names, files)
    ]
    index = index_annotations(datasets)
    return [record for _, records in datasets for record in records], index


def get_indexed_dicts(names: Sequence[str], **kwargs: Any) -> list[dict[str, Any]]:
    """Return the records of :func:`load_indexed`; in place of ``get_detection_dataset_dicts``."""
    return load_indexed(names, **kwargs)[0]


def get_annotation_index(names: Sequence[str], **kwargs: Any) -> AnnotationIndex:
    """Return the numbering of :func:`load_indexed`."""
    return load_indexed(names, **kwargs)[1]


def load_indexed_from_config(cfg: CfgNode) -> tuple[list[dict[str, Any]], AnnotationIndex]:
    """:func:`load_indexed` of ``DATASETS.TRAIN``, filtered as the config says.

    Raises:
        ValueError: ``DATASETS.LABELLED`` would leave out records; or see :func:`load_indexed`.
    """
    subset = cfg.DATASETS.LABELLED
    if subset.COUNT or subset.FILE:
        raise ValueError(
            f"DATASETS.LABELLED (COUNT {subset.COUNT}, FILE '{subset.FILE}') leaves out records, "
            "but SCN_RELABEL.ENABLED follows all annotations of DATASETS.TRAIN: write a COCO file "
            "of the subset and train on that, or write SCN_RELABEL.ENABLED False"
        )
    keypoints = cfg.MODEL.ROI_KEYPOINT_HEAD.MIN_KEYPOINTS_PER_IMAGE
    return load_indexed(
        cfg.DATASETS.TRAIN,
        filter_empty=cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS,
        min_keypoints=keypoints if cfg.MODEL.KEYPOINT_ON else 0,
        proposal_files=cfg.DATASETS.PROPOSAL_FILES_TRAIN if cfg.MODEL.LOAD_PROPOSALS else None,
    )


def refuse_shared_test_data(annotations: AnnotationIndex, test_names: Sequence[str]) -> None:
    """Refuse test data among the training data: relabelling must not touch what is measured on.

    Pictures are compared by :func:`drfpn_da.files.real_names`: other spellings and links count.

    Raises:
        ValueError: a data set, annotation file or picture is in both; names it.
    """
    places = {path: place for place, path in enumerate(annotations.file_names)}
    owners = dict(zip(real_names(places), places.values()))
    for name in test_names:
        meta = MetadataCatalog.get(name)
        file = meta.get("json_file", None)
        for dataset in annotations.datasets:
            if name == dataset.name:
                shared = "the data set itself"
            elif file and dataset.file and file_sha256(file) == dataset.sha256:
                shared = f"the annotation file {file}"
            else:
                continue
            _refuse(dataset.name, name, shared)
        tested = [record["file_name"] for record in DatasetCatalog.get(name)]
        both = {
            path: owners[real] for path, real in zip(tested, real_names(tested)) if real in owners
        }
        if both:
            first = min(both)
            owner = annotations.datasets[annotations.dataset[both[first]]].name
            _refuse(owner, name, f"{len(both)} pictures, for example {first}")


def _refuse(train: str, test: str, shared: str) -> None:
    raise ValueError(
        f"SCN_RELABEL.ENABLED would relabel '{train}', which shares {shared} with the test set "
        f"'{test}': choose other DATASETS.TRAIN or DATASETS.TEST, or write SCN_RELABEL.ENABLED "
        "False"
    )
