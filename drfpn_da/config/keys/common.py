"""Keys of data, training and evaluation."""

from __future__ import annotations

from ..rules import (
    Choice,
    Count,
    Items,
    Name,
    Node,
    OpenShare,
    PositiveCount,
    Row,
    Text,
    image_size,
)


def add_keys(_C: Node) -> None:
    """Add the keys to a tree that has detectron2's top nodes."""
    # ---------------------------------------------------------------------------- #
    # Data, training and evaluation
    # ---------------------------------------------------------------------------- #
    # Extra COCO-format datasets, each [name, annotation.json, image folder]; --register adds to it.
    _C.DATASETS.REGISTER = Items(
        [], Row(fields={"name": Name(), "annotation.json": Name(), "image folder": Name()})
    )

    # Parts in which each process runs its batch, adding up gradients: the memory of one part, and
    # one step of the optimiser on the whole batch. Both streams' batches must divide, per process.
    _C.SOLVER.ACCUMULATION_STEPS = PositiveCount(1)

    _C.SOLVER.AMP = Node()
    # Autocast type with SOLVER.AMP.ENABLED: "float16" or "bfloat16". On CPU it is always bfloat16.
    _C.SOLVER.AMP.PRECISION = Choice("float16", "bfloat16")

    # Metric that decides model_best.pth, for example "bbox/AP" ("" = keep no best checkpoint). With
    # several test sets, each has its own model_best_<set>.pth.
    _C.TEST.BEST_METRIC = Text("")
    # Pictures of each test set drawn with predictions every VIS_PERIOD iterations.
    _C.TEST.VIS_IMAGES = Count(4)
    # COCO evaluation backend: "auto" (fastest that is installed), "pycocotools" or
    # "faster-coco-eval".
    _C.TEST.COCO_BACKEND = Choice("auto", "pycocotools", "faster-coco-eval")

    _C.TEST.SLIDING_WINDOW = Node()
    # [height, width] of windows in which a semantic segmentor sees each test picture, in pixels of
    # the resized picture; logits are averaged where windows overlap. []: whole pictures.
    _C.TEST.SLIDING_WINDOW.SIZE = image_size([], empty=True)
    # Least share of a window that its next covers again.
    _C.TEST.SLIDING_WINDOW.OVERLAP = OpenShare(0.33)

    # Weights & Biases, beside the ordinary writers.
    _C.WANDB = Node()
    _C.WANDB.ENABLED = False
    # Project that the run belongs to.
    _C.WANDB.PROJECT = Name("drfpn_da")
    # Run name ("" = the last part of OUTPUT_DIR).
    _C.WANDB.NAME = Text("")
