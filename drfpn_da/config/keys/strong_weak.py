"""Keys of Strong-Weak Distribution Alignment."""

from detectron2.config import CfgNode as CN


def add_keys(_C: CN) -> None:
    """Add the keys to a tree that has detectron2's top nodes."""
    # ---------------------------------------------------------------------------- #
    # Strong-Weak Distribution Alignment (arXiv 1812.04798), objective "StrongWeakAlignment"
    # ---------------------------------------------------------------------------- #
    _C.MODEL.STRONG_WEAK = CN()
    # Weight of the sum of all domain losses (the paper's lambda; the authors use 0.1 from Sim10k).
    _C.MODEL.STRONG_WEAK.LOSS_WEIGHT = 1.0
    # Before this iteration nothing is aligned and the target is not read by the model (burn-in).
    _C.MODEL.STRONG_WEAK.START_ITER = 0

    # Gradient reversal between features and discriminators.
    _C.MODEL.STRONG_WEAK.GRL = CN()
    # The gradient is multiplied by minus this.
    _C.MODEL.STRONG_WEAK.GRL.COEFFICIENT = 1.0
    # "constant", or "dann": from 0 to COEFFICIENT over the iterations after START_ITER as
    # 2 / (1 + exp(-10 p)) - 1 (arXiv 1505.07818).
    _C.MODEL.STRONG_WEAK.GRL.SCHEDULE = "constant"

    # Strong alignment of local features: least squares per pixel.
    _C.MODEL.STRONG_WEAK.LOCAL = CN()
    _C.MODEL.STRONG_WEAK.LOCAL.ENABLED = True
    # Features to align: outputs of the backbone or of its bottom-up network, or module paths.
    _C.MODEL.STRONG_WEAK.LOCAL.FEATURES = ["res2"]
    # Weight of each feature's loss; one number serves all.
    _C.MODEL.STRONG_WEAK.LOCAL.WEIGHTS = [1.0]
    # Name in DOMAIN_DISCRIMINATOR_REGISTRY.
    _C.MODEL.STRONG_WEAK.LOCAL.DISCRIMINATOR = "LocalDiscriminator"
    # One discriminator for all features, which must have equal channels.
    _C.MODEL.STRONG_WEAK.LOCAL.SHARED = False
    # Widths of the two hidden layers.
    _C.MODEL.STRONG_WEAK.LOCAL.CHANNELS = [256, 128]
    # Norm of the hidden convolutions: "" (published), "GN" or "BN".
    _C.MODEL.STRONG_WEAK.LOCAL.NORM = ""
    # Standard deviation of the first weights; 0: PyTorch's default. (Published: 0.01 for ResNet,
    # which makes the reversed gradient some 40 times smaller at the start; default for VGG.)
    _C.MODEL.STRONG_WEAK.LOCAL.INIT_STD = 0.0
    # ReLU on the input, as published for VGG16.
    _C.MODEL.STRONG_WEAK.LOCAL.INPUT_RELU = False

    # Weak alignment of global features: focal loss per image.
    _C.MODEL.STRONG_WEAK.GLOBAL = CN()
    _C.MODEL.STRONG_WEAK.GLOBAL.ENABLED = True
    # As for LOCAL.
    _C.MODEL.STRONG_WEAK.GLOBAL.FEATURES = ["res4"]
    # As for LOCAL.
    _C.MODEL.STRONG_WEAK.GLOBAL.WEIGHTS = [1.0]
    # Name in DOMAIN_DISCRIMINATOR_REGISTRY.
    _C.MODEL.STRONG_WEAK.GLOBAL.DISCRIMINATOR = "GlobalDiscriminator"
    # As for LOCAL.
    _C.MODEL.STRONG_WEAK.GLOBAL.SHARED = False
    # Widths of the three convolutions.
    _C.MODEL.STRONG_WEAK.GLOBAL.CHANNELS = [512, 128, 128]
    # Norm of the convolutions: "GN", "" or "BN" (published, for one picture of each domain a step).
    # With several pictures batch norm sees one domain at a time and hides how the domains differ.
    _C.MODEL.STRONG_WEAK.GLOBAL.NORM = "GN"
    # Dropout after each convolution, from a random generator of its own.
    _C.MODEL.STRONG_WEAK.GLOBAL.DROPOUT = 0.5
    # Exponent of the focal loss; 0 is cross-entropy.
    _C.MODEL.STRONG_WEAK.GLOBAL.GAMMA = 5.0
    # exp(-gamma p) in place of (1 - p)^gamma.
    _C.MODEL.STRONG_WEAK.GLOBAL.EXPONENTIAL = False

    # Context vectors of the discriminators, given to the box heads of R-CNN detectors.
    _C.MODEL.STRONG_WEAK.CONTEXT = CN()
    _C.MODEL.STRONG_WEAK.CONTEXT.ENABLED = False
    # Features (of LOCAL.FEATURES and GLOBAL.FEATURES) whose contexts are used, in this order
    # [global, local] as published. Empty: all.
    _C.MODEL.STRONG_WEAK.CONTEXT.FEATURES = []

    # Warn when a discriminator stays nearly perfect, or blind from the start, for so many
    # iterations.
    _C.MODEL.STRONG_WEAK.WARN_AFTER = 500
