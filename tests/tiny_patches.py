"""Forty tiny pictures of four colours, registered as a data set of whole pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from PIL import Image

from drfpn_da.config.setup import base_cfg

CLASSES = ("red", "green", "blue", "grey")
COLORS = np.array([[200, 40, 40], [40, 200, 40], [40, 40, 200], [120, 120, 120]])


def register_tiny_patches(name: str, folder: Path, count: int = 40) -> None:
    """Write noisy pictures of 8x8 pixels, classes in turn, and register them, again if need be."""
    rng = np.random.default_rng(3)
    folder.mkdir(parents=True)
    records = []
    for i in range(count):
        number = i % len(CLASSES)
        picture = COLORS[number] + rng.integers(-40, 41, (8, 8, 3))
        path = folder / f"{name}_{i:03d}.png"
        Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(path)
        records.append(
            {
                "file_name": str(path),
                "height": 8,
                "width": 8,
                "image_id": i,
                "class_id": number,
            }
        )
    if name in DatasetCatalog.list():
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)
    DatasetCatalog.register(name, lambda: [dict(record) for record in records])
    MetadataCatalog.get(name).set(thing_classes=list(CLASSES), evaluator_type="classification")


def tiny_patch_cfg(output: Path, name: str) -> CfgNode:
    """Soft labels for a network of a few channels: 8 labelled of 40, batches of 2 + 4."""
    cfg = base_cfg()
    cfg.OUTPUT_DIR, cfg.SEED = str(output), 5
    cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = (name,), ()
    cfg.DATASETS.LABELLED.COUNT = 8
    cfg.DATALOADER.NUM_WORKERS = 0
    cfg.INPUT.FORMAT = "RGB"
    cfg.INPUT.PATCH.SIZE, cfg.INPUT.PATCH.PAD = [8, 8], 1
    model = cfg.MODEL
    model.DEVICE, model.WEIGHTS = "cpu", ""
    model.META_ARCHITECTURE = "SoftLabelClassifier"
    model.BACKBONE.NAME, model.BACKBONE.FREEZE_AT = "build_small_resnet_backbone", 0
    model.PIXEL_STD = [57.0, 57.0, 57.0]
    model.SMALL_RESNET.CHANNELS = [4, 8]
    model.PATCH_CLASSIFIER.NUM_CLASSES = len(CLASSES)
    model.PATCH_CLASSIFIER.DROPOUT = 0.1
    model.SOFT_LABELS.LABELLED_PER_BATCH = 2
    cfg.SOLVER.IMS_PER_BATCH = 6
    cfg.SOLVER.BASE_LR = 0.02
    cfg.SOLVER.MAX_ITER, cfg.SOLVER.STEPS = 6, (5,)
    cfg.SOLVER.WARMUP_ITERS = 1
    return cfg
