"""The tree of every configuration key that drfpn_da adds to detectron2."""

from detectron2.config import CfgNode as CN

from .keys import FILES


def get_defaults() -> CN:
    """Return a fresh tree that holds only the keys of drfpn_da."""
    tree = CN({node: CN() for node in ("MODEL", "DATASETS", "INPUT", "SOLVER", "TEST")})
    for file in FILES:
        file.add_keys(tree)
    return tree
