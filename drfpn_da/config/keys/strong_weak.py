"""Keys of Strong-Weak Distribution Alignment."""

from __future__ import annotations

from ...layers import DOMAIN_DISCRIMINATOR_REGISTRY
from ..rules import (
    Choice,
    Items,
    Iterations,
    Names,
    Node,
    OpenShare,
    PositiveCount,
    Registered,
    Weight,
    norm,
)


def add_keys(_C: Node) -> None:
    """Add the keys to a tree that has detectron2's top nodes."""
    # ---------------------------------------------------------------------------- #
    # Strong-Weak Distribution Alignment (arXiv 1812.04798), objective "StrongWeakAlignment"
    # ---------------------------------------------------------------------------- #
    _C.MODEL.STRONG_WEAK = Node()
    # Weight of the sum of all domain losses (the paper's lambda; the authors use 0.1 from Sim10k).
    _C.MODEL.STRONG_WEAK.LOSS_WEIGHT = Weight(1.0)
    # Before this iteration nothing is aligned and the target is not read by the model (burn-in).
    _C.MODEL.STRONG_WEAK.START_ITER = Iterations(0)

    # Gradient reversal between features and discriminators.
    _C.MODEL.STRONG_WEAK.GRL = Node()
    # The gradient is multiplied by minus this.
    _C.MODEL.STRONG_WEAK.GRL.COEFFICIENT = Weight(1.0)
    # "constant", or "dann": from 0 to COEFFICIENT over the iterations after START_ITER as
    # 2 / (1 + exp(-10 p)) - 1 (arXiv 1505.07818).
    _C.MODEL.STRONG_WEAK.GRL.SCHEDULE = Choice("constant", "dann")

    # Strong alignment of local features: least squares per pixel.
    _C.MODEL.STRONG_WEAK.LOCAL = Node()
    _C.MODEL.STRONG_WEAK.LOCAL.ENABLED = True
    # Features to align: outputs of the backbone or of its bottom-up network, or module paths.
    _C.MODEL.STRONG_WEAK.LOCAL.FEATURES = Names(["res2"])
    # Weight of each feature's loss; one number serves all.
    _C.MODEL.STRONG_WEAK.LOCAL.WEIGHTS = Items([1.0], Weight(), least=1)
    # Name in DOMAIN_DISCRIMINATOR_REGISTRY.
    _C.MODEL.STRONG_WEAK.LOCAL.DISCRIMINATOR = Registered(
        "LocalDiscriminator", DOMAIN_DISCRIMINATOR_REGISTRY
    )
    # One discriminator for all features, which must have equal channels.
    _C.MODEL.STRONG_WEAK.LOCAL.SHARED = False
    # Widths of the two hidden layers.
    _C.MODEL.STRONG_WEAK.LOCAL.CHANNELS = Items([256, 128], PositiveCount(), least=1)
    # Norm of the hidden convolutions: "" (published), "GN" or "BN".
    _C.MODEL.STRONG_WEAK.LOCAL.NORM = norm("")
    # Standard deviation of the first weights; 0: PyTorch's default. (Published: 0.01 for ResNet,
    # which makes the reversed gradient some 40 times smaller at the start; default for VGG.)
    _C.MODEL.STRONG_WEAK.LOCAL.INIT_STD = Weight(0.0)
    # ReLU on the input, as published for VGG16.
    _C.MODEL.STRONG_WEAK.LOCAL.INPUT_RELU = False

    # Weak alignment of global features: focal loss per image.
    _C.MODEL.STRONG_WEAK.GLOBAL = Node()
    _C.MODEL.STRONG_WEAK.GLOBAL.ENABLED = True
    # As for LOCAL.
    _C.MODEL.STRONG_WEAK.GLOBAL.FEATURES = Names(["res4"])
    # As for LOCAL.
    _C.MODEL.STRONG_WEAK.GLOBAL.WEIGHTS = Items([1.0], Weight(), least=1)
    # Name in DOMAIN_DISCRIMINATOR_REGISTRY.
    _C.MODEL.STRONG_WEAK.GLOBAL.DISCRIMINATOR = Registered(
        "GlobalDiscriminator", DOMAIN_DISCRIMINATOR_REGISTRY
    )
    # As for LOCAL.
    _C.MODEL.STRONG_WEAK.GLOBAL.SHARED = False
    # Widths of the three convolutions.
    _C.MODEL.STRONG_WEAK.GLOBAL.CHANNELS = Items([512, 128, 128], PositiveCount(), least=1)
    # Norm of the convolutions: "GN", "" or "BN" (published, for one picture of each domain a step).
    # With several pictures batch norm sees one domain at a time and hides how the domains differ.
    _C.MODEL.STRONG_WEAK.GLOBAL.NORM = norm("GN")
    # Dropout after each convolution, from a random generator of its own.
    _C.MODEL.STRONG_WEAK.GLOBAL.DROPOUT = OpenShare(0.5)
    # Exponent of the focal loss; 0 is cross-entropy.
    _C.MODEL.STRONG_WEAK.GLOBAL.GAMMA = Weight(5.0)
    # exp(-gamma p) in place of (1 - p)^gamma.
    _C.MODEL.STRONG_WEAK.GLOBAL.EXPONENTIAL = False

    # Context vectors of the discriminators, given to the box heads of R-CNN detectors.
    _C.MODEL.STRONG_WEAK.CONTEXT = Node()
    _C.MODEL.STRONG_WEAK.CONTEXT.ENABLED = False
    # Features (of LOCAL.FEATURES and GLOBAL.FEATURES) whose contexts are used, in this order
    # [global, local] as published. Empty: all.
    _C.MODEL.STRONG_WEAK.CONTEXT.FEATURES = Names([])

    # Warn when a discriminator stays nearly perfect, or blind from the start, for so many
    # iterations.
    _C.MODEL.STRONG_WEAK.WARN_AFTER = Iterations(500, low=1)
