"""A data set of eight small pictures, and models small enough to train in a test."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import register_coco_instances
from PIL import Image

from drfpn_da.config.setup import base_cfg
from drfpn_da.data import register_image_folder
from tests import tiny_backbone  # noqa: F401  (registers it)

CLASSES = ("square", "bar")


def write_tiny_coco(folder: Path, count: int = 8, mixed: bool = True) -> tuple[str, str]:
    """Write pictures of coloured rectangles, their COCO JSON, and label maps.

    ``mixed`` makes every other picture portrait. Returns the JSON and the image folder.
    """
    rng = np.random.default_rng(7)
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    data = {
        "images": [],
        "annotations": [],
        "categories": [{"id": i + 1, "name": name} for i, name in enumerate(CLASSES)],
    }
    for index in range(count):
        height, width = (96, 64) if mixed and index % 2 else (64, 96)
        picture = rng.integers(0, 60, (height, width, 3), dtype=np.uint8)
        label = np.zeros((height, width), dtype=np.uint8)
        for category, (box_w, box_h) in enumerate([(20, 20), (32, 10)], start=1):
            x, y = int(rng.integers(0, width - box_w)), int(rng.integers(0, height - box_h))
            picture[y : y + box_h, x : x + box_w] = (
                (220, 40, 40) if category == 1 else (40, 220, 40)
            )
            label[y : y + box_h, x : x + box_w] = category
            data["annotations"].append(
                {
                    "id": len(data["annotations"]) + 1,
                    "image_id": index + 1,
                    "category_id": category,
                    "bbox": [x, y, box_w, box_h],
                    "area": box_w * box_h,
                    "iscrowd": 0,
                    "segmentation": [[x, y, x + box_w, y, x + box_w, y + box_h, x, y + box_h]],
                }
            )
        name = f"picture_{index}.png"
        Image.fromarray(picture).save(folder / "images" / name)
        Image.fromarray(label).save(folder / "labels" / name)
        data["images"].append(
            {"id": index + 1, "file_name": name, "width": width, "height": height}
        )
    (folder / "tiny.json").write_text(json.dumps(data))
    return str(folder / "tiny.json"), str(folder / "images")


def register_tiny(name: str, folder: Path, sem_seg: bool = False) -> None:
    """Register what :func:`write_tiny_coco` wrote, again if need be."""
    if name in DatasetCatalog.list():
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)
    if not sem_seg:
        register_coco_instances(
            name,
            {"thing_classes": list(CLASSES)},
            str(folder / "tiny.json"),
            str(folder / "images"),
        )
        return
    DatasetCatalog.register(name, lambda: load_tiny_sem_seg(folder))
    MetadataCatalog.get(name).set(
        stuff_classes=["ground", *CLASSES], evaluator_type="sem_seg", ignore_label=255
    )


def register_tiny_domains(folder: Path, name: str, targets: int) -> Path:
    """Write and register ``<name>_source``, and ``<name>_target``: other pictures, no labels."""
    write_tiny_coco(folder / "source")
    write_tiny_coco(folder / "target", count=targets)
    register_tiny(f"{name}_source", folder / "source")
    register_image_folder(f"{name}_target", str(folder / "target" / "images"))
    return folder


def write_disparity(folder: Path) -> None:
    """Write a random disparity of each target picture of ``register_tiny_domains``."""
    rng = np.random.default_rng(0)
    (folder / "disparity").mkdir()
    for path in (folder / "target" / "images").iterdir():
        with Image.open(path) as image:
            disparity = rng.random((image.height, image.width), dtype=np.float32)
        np.save(folder / "disparity" / f"{path.stem}.npy", disparity)


def load_tiny_sem_seg(folder: Path) -> list[dict]:
    records = []
    for path in sorted((folder / "images").iterdir()):
        with Image.open(path) as image:
            width, height = image.size
        label = str(folder / "labels" / path.name)
        records.append(
            {"file_name": str(path), "sem_seg_file_name": label, "width": width, "height": height}
        )
    return records


def tiny_cfg(folder: Path, dataset: str, sem_seg: bool = False) -> CfgNode:
    """A detector (or segmentor) over :mod:`tests.tiny_backbone`, on the CPU, seed 5."""
    cfg = base_cfg()
    cfg.OUTPUT_DIR = str(folder)
    cfg.SEED = 5
    cfg.DATASETS.TRAIN = cfg.DATASETS.TEST = (dataset,)
    cfg.DATALOADER.NUM_WORKERS = 0
    cfg.INPUT.MIN_SIZE_TRAIN = (56, 64, 72)
    cfg.INPUT.MIN_SIZE_TEST = 64
    cfg.INPUT.MAX_SIZE_TRAIN = cfg.INPUT.MAX_SIZE_TEST = 96
    model = cfg.MODEL
    model.DEVICE = "cpu"
    model.WEIGHTS = ""
    model.META_ARCHITECTURE = "SemanticSegmentor" if sem_seg else "GeneralizedRCNN"
    model.BACKBONE.NAME = "build_tiny_fpn_backbone"
    model.BACKBONE.FREEZE_AT = 0
    model.PIXEL_STD = [57.0, 57.0, 57.0]
    model.RESNETS.DEPTH = 18
    model.RESNETS.NORM = "GN"  # random weights diverge with a frozen norm
    model.RESNETS.RES2_OUT_CHANNELS = 64
    model.RESNETS.OUT_FEATURES = ["res2", "res3", "res4", "res5"]
    model.FPN.IN_FEATURES = ["res2", "res3", "res4", "res5"]
    model.FPN.OUT_CHANNELS = 32
    model.ANCHOR_GENERATOR.SIZES = [[8], [16], [32], [64], [128]]
    model.RPN.IN_FEATURES = ["p2", "p3", "p4", "p5", "p6"]
    model.RPN.PRE_NMS_TOPK_TRAIN = model.RPN.PRE_NMS_TOPK_TEST = 100
    model.RPN.POST_NMS_TOPK_TRAIN = model.RPN.POST_NMS_TOPK_TEST = 50
    model.ROI_HEADS.NAME = "StandardROIHeads"
    model.ROI_HEADS.IN_FEATURES = ["p2", "p3", "p4", "p5"]
    model.ROI_HEADS.NUM_CLASSES = len(CLASSES)
    model.ROI_HEADS.BATCH_SIZE_PER_IMAGE = 16
    model.ROI_BOX_HEAD.NAME = "FastRCNNConvFCHead"
    model.ROI_BOX_HEAD.NUM_FC = 1
    model.ROI_BOX_HEAD.FC_DIM = 32
    model.ROI_BOX_HEAD.POOLER_RESOLUTION = 7
    model.SEM_SEG_HEAD.NUM_CLASSES = len(CLASSES) + 1
    model.SEM_SEG_HEAD.CONVS_DIM = 32
    cfg.SOLVER.IMS_PER_BATCH = 4
    cfg.SOLVER.BASE_LR = 0.005
    cfg.SOLVER.MAX_ITER = 6
    cfg.SOLVER.STEPS = (4,)
    cfg.SOLVER.WARMUP_ITERS = 2
    return cfg
