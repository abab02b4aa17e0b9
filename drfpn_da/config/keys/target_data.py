"""Keys of the target domain's data."""

from detectron2.config import CfgNode as CN


def add_keys(_C: CN) -> None:
    """Add the keys to a tree that has detectron2's top nodes."""
    # ---------------------------------------------------------------------------- #
    # Target domain: pictures without labels beside the source (any method with a target)
    # ---------------------------------------------------------------------------- #
    # Target data sets; annotations, if there are any, are never read in training. A name of
    # --register-images or of any registered data set.
    _C.DATASETS.TARGET = ()
    # Extra data sets of pictures only, each [name, image folder]; --register-images adds to it.
    _C.DATASETS.REGISTER_IMAGES = []
    # Target pictures per step over all processes. 0: as many as SOLVER.IMS_PER_BATCH.
    _C.SOLVER.TARGET_IMS_PER_BATCH = 0
