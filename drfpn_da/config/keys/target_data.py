"""Keys of the target domain's data."""

from __future__ import annotations

from ..rules import (
    Count,
    Items,
    Name,
    Names,
    Node,
    Positive,
    PositiveCount,
    Row,
    Share,
    blur_sigma,
    color_jitter,
)


def add_keys(_C: Node) -> None:
    """Add the keys to a tree that has detectron2's top nodes."""
    # ---------------------------------------------------------------------------- #
    # Target domain: pictures without labels beside the source (any method with a target)
    # ---------------------------------------------------------------------------- #
    # Target data sets; annotations, if there are any, are never read in training. A name of
    # --register-images or of any registered data set.
    _C.DATASETS.TARGET = Names(())
    # Extra data sets of pictures only, each [name, image folder]; --register-images adds to it.
    _C.DATASETS.REGISTER_IMAGES = Items([], Row(fields={"name": Name(), "image folder": Name()}))
    # Target pictures per step over all processes. 0: as many as SOLVER.IMS_PER_BATCH.
    _C.SOLVER.TARGET_IMS_PER_BATCH = Count(0)
    # Take another target picture, with a warning, in place of one that is missing or damaged.
    _C.INPUT.SKIP_UNREADABLE_TARGET = False

    # Views of each target picture, all with the same resizing, flip and crop: "weak" (nothing
    # else), "strong" (INPUT.STRONG_VIEW) or a name in VIEW_REGISTRY. The first is the picture that
    # the model gets; with several, all are in the sample's "views".
    _C.INPUT.TARGET_VIEWS = Items(["weak"], Name(), least=1, different=True)
    # View of the labelled pictures; boxes and masks stay as they are.
    _C.INPUT.SOURCE_VIEW = Name("weak")

    # The strong view; defaults of Unbiased Teacher (arXiv 2102.09480).
    _C.INPUT.STRONG_VIEW = Node()
    # Largest relative change of brightness, contrast and saturation, and of hue in parts of the
    # circle (at most 0.5).
    _C.INPUT.STRONG_VIEW.COLOR_JITTER = color_jitter([0.4, 0.4, 0.4, 0.1])
    # Probability of the colour jitter.
    _C.INPUT.STRONG_VIEW.COLOR_JITTER_PROB = Share(0.8)
    # Probability of grey.
    _C.INPUT.STRONG_VIEW.GRAYSCALE_PROB = Share(0.2)
    # Range of the Gaussian blur's standard deviation in pixels (of the resized picture).
    _C.INPUT.STRONG_VIEW.BLUR_SIGMA = blur_sigma([0.1, 2.0])
    # Probability of the blur.
    _C.INPUT.STRONG_VIEW.BLUR_PROB = Share(0.5)
    # Rectangles erased one after another, each [probability, smallest area, largest area, smallest
    # ratio, largest ratio]; areas as shares of the picture, ratios height to width. []: none.
    _C.INPUT.STRONG_VIEW.ERASE = Items(
        [[0.7, 0.05, 0.2, 0.3, 3.3], [0.5, 0.02, 0.2, 0.1, 6.0], [0.3, 0.02, 0.2, 0.05, 8.0]],
        Row(
            fields={
                "probability": Share(),
                "smallest area": Share(),
                "largest area": Share(),
                "smallest ratio": Positive(),
                "largest ratio": Positive(),
            }
        ),
    )
    # Masked image consistency (MIC, arXiv 2212.01322): cells of a grid, masked at random last.
    _C.INPUT.STRONG_VIEW.MASK = Node()
    # Probability of each cell; 0: no mask, published 0.7.
    _C.INPUT.STRONG_VIEW.MASK.SHARE = Share(0.0)
    # Side of the cells in pixels of the resized picture; published 64, for crops of 512 and more.
    _C.INPUT.STRONG_VIEW.MASK.SIZE = PositiveCount(64)
