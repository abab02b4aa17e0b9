r"""Choose which pictures to annotate: one nested list for several budgets.

    drfpn-da select --config-file depth/streets/mobilenetv2_small.yaml \
        --datasets streets_small_clear_train --method diversity --budgets 25 50 100 \
        --output selected.json MODEL.WEIGHTS model_final.pth
    drfpn-da select --config-file C.yaml --images folder --method both \
        --start selected_25.json --teacher teacher/ --student student/ --budgets 50 ...
    drfpn-da select --config-file C.yaml --datasets SET --method both \
        --teacher teacher/ --student-config student.yaml --budgets 25 50 100 200 372 744 ...

The picture of the choice for a smaller budget is the beginning of the list. Methods:

    diversity    farthest points of the features (--feature, averaged to --grid)
    uncertainty  where two depth networks disagree (--teacher, --student: folders that
                 drfpn-da depth wrote; or --student-config: trained in each cycle)
    both         farthest points, distances raised by the uncertainty
    entropy      where a segmentor, the model of the config, is unsure
    random       the seeded permutation, of which the first also starts diversity

Uncertainty, both and entropy begin with the first budget by the rule of their kind (random, or
farthest points) and go on with the scores given. With --student-config each further budget is a
cycle: a student is trained on the teacher's disparity of what is selected, beside the JSON in a
folder <name>_students. To train a network of your own between cycles, select one budget at a time
and hand the list of the last to --start. A contact sheet is written beside the JSON. An
option with one value (--output, --seed) must stand between a list and KEY VALUE pairs.
"""

from __future__ import annotations

import argparse

from .common import add_config_options, add_image_options

METHODS = ("diversity", "uncertainty", "both", "entropy", "random")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``select``."""
    add_config_options(parser, register=True)
    add_image_options(parser, "DATASETS.TRAIN")
    parser.add_argument("--method", choices=METHODS, default="diversity", help="see above")
    parser.add_argument(
        "--budgets", nargs="+", type=int, required=True, metavar="N", help="numbers, ascending"
    )
    parser.add_argument("--seed", type=int, default=42, help="of the first picture")
    parser.add_argument("--start", metavar="JSON", help="go on from an earlier selection")
    parser.add_argument("--feature", default="res4", help="backbone output or module path")
    parser.add_argument(
        "--grid", nargs=2, type=int, default=[4, 8], metavar=("ROWS", "COLUMNS"),
        help="cells over which features are averaged",
    )  # fmt: skip
    parser.add_argument("--teacher", metavar="FOLDER", help="disparities of the first network")
    parser.add_argument("--student", metavar="FOLDER", help="disparities of the second network")
    parser.add_argument(
        "--student-config",
        metavar="FILE",
        help="of a DepthStudent, trained in each cycle on what is selected, instead of --student",
    )
    parser.add_argument(
        "--weight", type=float, default=1.0, help="median distances per median uncertainty"
    )
    parser.add_argument(
        "--published", action="store_true", help="the paper's weight, absolute, not --weight"
    )
    parser.add_argument("--sheet", type=int, default=64, help="pictures on the contact sheet")
    parser.add_argument("--output", default="output/selected.json", metavar="JSON", help="new file")
