"""Keys of data, training and evaluation."""

from detectron2.config import CfgNode as CN


def add_keys(_C: CN) -> None:
    """Add the keys to a tree that has detectron2's top nodes."""
    # ---------------------------------------------------------------------------- #
    # Data, training and evaluation
    # ---------------------------------------------------------------------------- #
    # Extra COCO-format datasets, each [name, annotation.json, image folder]; --register adds to it.
    _C.DATASETS.REGISTER = []

    # Parts in which each process runs its batch, adding up gradients: the memory of one part, and
    # one step of the optimiser on the whole batch. Both streams' batches must divide, per process.
    _C.SOLVER.ACCUMULATION_STEPS = 1

    _C.SOLVER.AMP = CN()
    # Autocast type with SOLVER.AMP.ENABLED: "float16" or "bfloat16". On CPU it is always bfloat16.
    _C.SOLVER.AMP.PRECISION = "float16"

    # Metric that decides model_best.pth, for example "bbox/AP" ("" = keep no best checkpoint). With
    # several test sets, each has its own model_best_<set>.pth.
    _C.TEST.BEST_METRIC = ""
    # Pictures of each test set drawn with predictions every VIS_PERIOD iterations.
    _C.TEST.VIS_IMAGES = 4
    # COCO evaluation backend: "auto" (fastest that is installed), "pycocotools" or
    # "faster-coco-eval".
    _C.TEST.COCO_BACKEND = "auto"

    _C.TEST.SLIDING_WINDOW = CN()
    # [height, width] of windows in which a semantic segmentor sees each test picture, in pixels of
    # the resized picture; logits are averaged where windows overlap. []: whole pictures.
    _C.TEST.SLIDING_WINDOW.SIZE = []
    # Least share of a window that its next covers again.
    _C.TEST.SLIDING_WINDOW.OVERLAP = 0.33

    # Weights & Biases, beside the ordinary writers.
    _C.WANDB = CN()
    _C.WANDB.ENABLED = False
    # Project that the run belongs to.
    _C.WANDB.PROJECT = "drfpn_da"
    # Run name ("" = the last part of OUTPUT_DIR).
    _C.WANDB.NAME = ""
