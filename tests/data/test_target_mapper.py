"""What the mapper of target pictures hands on, and which mappers it refuses."""

import pytest
from detectron2.data import DatasetMapper
from detectron2.data import transforms as T

from drfpn_da.data.target_mapper import TargetMapper


def test_target_mapper_keeps_what_is_asked_for_and_no_label():
    record = {"file_name": "a.png", "disparity_file_name": "d.png", "annotations": [1], "fog": 1}
    assert TargetMapper(dict)(record) == {"file_name": "a.png", "domain": "target"}
    kept = TargetMapper(dict, keep=["disparity_file_name"])(record)
    assert kept["disparity_file_name"] == "d.png"
    assert TargetMapper(lambda record: None)(record) is None
    with pytest.raises(ValueError, match="annotations"):
        TargetMapper(dict, keep=["annotations"])
    with pytest.raises(ValueError, match=r"returned.*instances"):
        TargetMapper(lambda record: {"instances": 1})(record)


def test_augmentations_that_need_labels_are_refused():
    mapper = DatasetMapper(
        is_train=True,
        augmentations=[T.RandomCrop_CategoryAreaConstraint("absolute", (32, 32))],
        image_format="BGR",
    )
    with pytest.raises(ValueError, match="RandomCrop_CategoryAreaConstraint needs sem_seg"):
        TargetMapper(mapper)
