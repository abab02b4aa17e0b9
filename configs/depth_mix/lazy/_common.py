"""Shared by the lazy configs: a segmentor that is mixed, its few labels, and its target stream."""

from detectron2.config import LazyCall as L
from detectron2.data import get_detection_dataset_dicts
from detectron2.evaluation import SemSegEvaluator
from detectron2.model_zoo import get_config
from detectron2.modeling import SemanticSegmentor

from drfpn_da.data import (
    build_target_loader,
    build_train_loader,
    build_two_stream_loader,
    get_target_dicts,
)
from drfpn_da.data.disparity import DISPARITY_FIELDS, DisparityMapper
from drfpn_da.data.given_labels import GIVEN_FILE, GivenLabelMapper, give_labels
from drfpn_da.data.subset import pick_random
from drfpn_da.layers.photometric import PhotometricAugmentation
from drfpn_da.modeling import DepthMixSegmentor
from drfpn_da.objectives import DepthMix

MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]


def segmentor(backbone, sem_seg_head):
    """A SemanticSegmentor of RGB pictures with ImageNet's statistics."""
    return L(SemanticSegmentor)(
        backbone=backbone, sem_seg_head=sem_seg_head, pixel_mean=MEAN, pixel_std=STD
    )


def mixed(detector, *objectives, colours=None, **options):
    """The segmentor with DepthMix, whose options are given, and further objectives.

    ``colours`` are options of the strong augmentation.
    """
    strong = L(PhotometricAugmentation)(image_format="RGB", **(colours or {}))
    return L(DepthMixSegmentor)(
        detector=detector,
        objectives=[L(DepthMix)(augmentation=strong, **options), *objectives],
        teacher_decay=0.99,
    )


def build_data(train, test, count, seed, batch, size, augmentations, disparity="", classes=0):
    """Labelled pictures of a set, all of it as target with disparity, and a test set.

    Args:
        train: name of the set.
        test: name of the test set.
        count: labelled pictures, 0: all.
        seed: of their choice.
        batch: labelled pictures a step, and as many without labels.
        size: short and long side in the test.
        augmentations: of both streams.
        disparity: folder of disparity files; "": those of the records.
        classes: mix labelled pictures with their own labels of so many classes; 0: with the
            teacher's.
    """
    dataloader = get_config("common/data/coco_panoptic_separated.py").dataloader
    source = dataloader.train
    source._target_ = build_train_loader
    source.total_batch_size = batch
    records = L(get_detection_dataset_dicts)(names=train, filter_empty=False)
    source.dataset = L(pick_random)(records=records, count=count, seed=seed) if count else records
    source.mapper.update(augmentations=augmentations, image_format="RGB", use_instance_mask=False)
    target = L(build_target_loader)(
        dataset=L(get_target_dicts)(names=train, keep=DISPARITY_FIELDS),
        mapper=L(DisparityMapper)(mapper="${...source.mapper}", root=disparity),
        keep=DISPARITY_FIELDS,
        total_batch_size="${..source.total_batch_size}",
        num_workers="${..source.num_workers}",
    )
    if classes:
        disparity_mapper = L(DisparityMapper)(mapper="${....source.mapper}", root=disparity)
        target.mapper = L(GivenLabelMapper)(mapper=disparity_mapper, classes=classes)
        labelled = "${...source.dataset}"
        target.dataset = L(give_labels)(records=target.dataset, labelled=labelled)
        target.keep = (*DISPARITY_FIELDS, GIVEN_FILE)
    dataloader.train = L(build_two_stream_loader)(source=source, target=target)
    dataloader.test.dataset.names = test
    dataloader.test.mapper.image_format = "RGB"
    dataloader.test.mapper.augmentations[0].update(short_edge_length=size[0], max_size=size[1])
    dataloader.evaluator = L(SemSegEvaluator)(dataset_name="${..test.dataset.names}")
    return dataloader


def build_schedule(iterations, lr, output):
    """SGD, one step of the rate after three quarters, and the train section."""
    optimizer = get_config("common/optim.py").SGD
    optimizer.update(lr=lr, weight_decay=0.0005)
    lr_multiplier = get_config("common/coco_schedule.py").lr_multiplier_1x
    lr_multiplier.scheduler.update(
        values=[1.0, 0.1], milestones=[3 * iterations // 4], num_updates=iterations
    )
    lr_multiplier.warmup_length = min(1000, iterations // 10) / iterations
    train = get_config("common/train.py").train
    train.update(max_iter=iterations, output_dir=output)
    return optimizer, lr_multiplier, train
