r"""Find, review and correct wrong labels of a detection data set. No annotation file is changed.

With any detector's checkpoint (better one that was not trained on these labels, see split):

    drfpn-da audit sweep --config-file CONFIG --dataset NAME \
        --weights model_final.pth --output audit

From the journal of a training with SCN_RELABEL.ENABLED:

    drfpn-da audit report --journal output/relabels.jsonl --output audit

Both write report.html and review.csv there. Write accept or reject into its first column, then:

    drfpn-da audit apply --journal audit/proposals.jsonl --review audit/review.csv
    drfpn-da audit export --journal audit/proposals.jsonl --output corrected.json
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .common import add_command, add_config_options, existing_path

#: Option -> its default, that of drfpn_da.labels.audit.AuditThresholds, and its help.
THRESHOLDS = {
    "margin": (0.2, "another class is suspected if its score exceeds the given one's by more"),
    "same_iou": (0.5, "overlap from which a prediction is of the annotation"),
    "score": (0.5, "score from which a prediction tells of a bad location or an overlooked object"),
    "badly_located": (0.5, "overlap below which the right class is beside the box"),
    "apart": (0.2, "overlap below which a prediction is of another object"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the commands of ``audit``."""
    commands = parser.add_subparsers(dest="audit_command", required=True, metavar="COMMAND")
    _add_sweep(
        add_command(commands, "sweep", "Judge all labels by a model's predictions", "audit:sweep")
    )

    split = add_command(
        commands, "split", "Write training files that leave out one fold each", "audit:split"
    )
    split.add_argument("--annotations", type=Path, required=True, help="COCO JSON")
    split.add_argument("--folds", type=int, required=True, help="how many files to write")
    split.add_argument("--output", type=Path, required=True, help="new folder")

    report = add_command(commands, "report", "Page and review table of a journal", "audit:report")
    report.add_argument("--output", type=Path, required=True, help="new folder")

    apply = _add_light(commands, "apply", "Read verdicts back into the journal")
    apply.add_argument("--review", type=existing_path, required=True, help="table with verdicts")

    undo = _add_light(commands, "undo", "Set corrections back")
    what = undo.add_mutually_exclusive_group(required=True)
    what.add_argument("--all", action="store_true", help="every correction")
    what.add_argument("--round", type=int, help="those of a round of the training")
    what.add_argument("--annotations", nargs="+", metavar="ID", help="those of annotations")
    undo.add_argument("--dataset", help="only of this data set of the journal")

    export = _add_light(commands, "export", "Write a corrected COCO JSON")
    export.add_argument("--dataset", help="needed if the journal is of several")
    export.add_argument("--proposed", action="store_true", help="with what is only proposed")
    export.add_argument("--output", type=Path, required=True, help="new file")

    recover = _add_light(commands, "recover", "Write what is whole of a damaged journal")
    recover.add_argument("--output", type=Path, required=True, help="new file")

    for command in (report, apply, undo, export, recover):
        command.add_argument(
            "--journal", type=Path, required=True, help="relabels.jsonl or proposals.jsonl"
        )


def _add_light(commands: Any, name: str, text: str) -> argparse.ArgumentParser:
    return add_command(commands, name, text, f"audit_journal:{name}", light=True)


def _add_sweep(sweep: argparse.ArgumentParser) -> None:
    add_config_options(sweep, required=True, register=True)
    sweep.add_argument("--dataset", required=True, help="registered name; see --register")
    sweep.add_argument(
        "--weights", nargs="+", required=True, help="one checkpoint, or one per fold"
    )
    sweep.add_argument("--output", type=Path, required=True, help="new folder")
    for name, (default, text) in THRESHOLDS.items():
        option = f"--{name.replace('_', '-')}"
        sweep.add_argument(option, type=float, default=default, help=text)
    sweep.add_argument(
        "--cleanlab",
        action="store_true",
        help="write cleanlab's score of each picture beside ours",
    )
