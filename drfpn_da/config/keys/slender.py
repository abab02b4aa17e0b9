"""Keys of slender objects."""

from detectron2.config import CfgNode as CN


def add_keys(_C: CN) -> None:
    """Add the keys to a tree that has detectron2's top nodes."""
    # ---------------------------------------------------------------------------- #
    # Slender objects (arXiv 2011.08529)
    # ---------------------------------------------------------------------------- #
