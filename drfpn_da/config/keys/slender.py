"""Keys of slender objects."""

from __future__ import annotations

from ..rules import Items, Name, Node, Number, Row


def add_keys(_C: Node) -> None:
    """Add the keys to a tree that has detectron2's top nodes."""
    # ---------------------------------------------------------------------------- #
    # Slender objects (arXiv 2011.08529)
    # ---------------------------------------------------------------------------- #
    # COCO metrics by slenderness (short over long side of the smallest rectangle around an object)
    # beside the ordinary ones, for boxes and masks. Not for keypoints.
    _C.TEST.SLENDER = Node()
    _C.TEST.SLENDER.ENABLED = False
    # Bins of slenderness, [name, low, high], ascending; a bin holds its lower edge, not its upper.
    # Squares are 1; .inf (on the command line any number above 1) keeps them in the last bin.
    _C.TEST.SLENDER.BINS = Items(
        [["XS", 0.0, 1 / 5], ["S", 1 / 5, 1 / 3], ["R", 1 / 3, float("inf")]],
        Row(fields={"name": Name(), "low": Number(low=0), "high": Number(low=0, infinite=True)}),
        least=1,
    )
    # Bins of the width over height of boxes: extra tall, tall, medium, wide, extra wide. May be [].
    _C.TEST.SLENDER.ASPECT_BINS = Items(
        [
            ["XT", 0.0, 1 / 5],
            ["T", 1 / 5, 1 / 3],
            ["M", 1 / 3, 3.0],
            ["W", 3.0, 5.0],
            ["XW", 5.0, float("inf")],
        ],
        Row(fields={"name": Name(), "low": Number(low=0), "high": Number(low=0, infinite=True)}),
    )
    # Unmatched detections leave a bin by width over height, as in the published code, which
    # forgives wide errors. Only to compare with published numbers.
    _C.TEST.SLENDER.LEGACY_FP_RULE = False
