"""Every configuration key that drfpn_da adds to detectron2, each with a comment above it.

One file per system, in the order of ``FILES``. The defaults leave a stock detectron2 config
unchanged: nothing acts until a config asks for it (usually by naming a registered part, for example
``MODEL.BACKBONE.NAME``). ``docs/configs.md`` is generated from these files.
"""

from . import (
    adapt,
    bodies,
    common,
    depth,
    depth_mix,
    drfpn,
    fcos,
    model_selection,
    patch_classifier,
    pseudo_label,
    scn,
    slender,
    strong_weak,
    target_data,
)

#: Modules with keys, in the order in which the documentation shows them.
FILES = (
    drfpn,
    adapt,
    strong_weak,
    pseudo_label,
    patch_classifier,
    target_data,
    model_selection,
    scn,
    slender,
    depth,
    depth_mix,
    bodies,
    fcos,
    common,
)

__all__ = ["FILES"]
