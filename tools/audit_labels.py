#!/usr/bin/env python
r"""Find, review and correct wrong labels of a detection data set. No annotation file is changed.

With any detector's checkpoint (better one that was not trained on these labels, see split):

    python tools/audit_labels.py sweep --config-file CONFIG --dataset NAME \
        --weights model_final.pth --output audit

From the journal of a training with SCN_RELABEL.ENABLED:

    python tools/audit_labels.py report --journal output/relabels.jsonl --output audit

Both write report.html and review.csv there. Write accept or reject into its first column, then:

    python tools/audit_labels.py apply --journal audit/proposals.jsonl --review audit/review.csv
    python tools/audit_labels.py export --journal audit/proposals.jsonl --output corrected.json
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Collection, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from drfpn_da.config import argument_parser, setup_cfg
from drfpn_da.data import load_indexed
from drfpn_da.data.coco import load_coco
from drfpn_da.data.validate import check_classes
from drfpn_da.engine.label_sweep import find_suspects, fold_of, propose, sweep_labels
from drfpn_da.labels import AnnotationIndex, Entry, RelabelStore, recover_journal, write_journal
from drfpn_da.labels.audit import AuditThresholds, Suspect
from drfpn_da.labels.export import corrected_coco, to_cleanlab
from drfpn_da.labels.journal import Key, read_journal
from drfpn_da.labels.review import read_review, write_review
from drfpn_da.visualization import free_path, save_new, save_text
from drfpn_da.visualization.relabels import relabel_page

THRESHOLDS = {
    "margin": "another class is suspected if its score exceeds the given one's by more",
    "same_iou": "overlap from which a prediction is of the annotation",
    "score": "score from which a prediction tells of a bad location or an overlooked object",
    "badly_located": "overlap below which the right class is beside the box",
    "apart": "overlap below which a prediction is of another object",
}


def parse_args(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    limits = AuditThresholds()

    sweep = commands.add_parser(
        "sweep",
        help="judge all labels by a model's predictions",
        parents=[argument_parser()],
        conflict_handler="resolve",
    )
    sweep.add_argument("--dataset", required=True, help="registered name; see --register")
    sweep.add_argument(
        "--weights", nargs="+", required=True, help="one checkpoint, or one per fold"
    )
    sweep.add_argument("--output", type=Path, required=True, help="new folder")
    for name, value in asdict(limits).items():
        sweep.add_argument(
            f"--{name.replace('_', '-')}",
            type=float,
            default=value,
            help=f"{THRESHOLDS[name]} (default {value})",
        )
    sweep.add_argument(
        "--cleanlab",
        action="store_true",
        help="write cleanlab's score of each picture beside ours",
    )

    split = commands.add_parser("split", help="write training files that leave out one fold each")
    split.add_argument("--annotations", type=Path, required=True, help="COCO JSON")
    split.add_argument("--folds", type=int, required=True)
    split.add_argument("--output", type=Path, required=True, help="new folder")

    report = commands.add_parser("report", help="page and review table of a journal")
    report.add_argument("--output", type=Path, required=True, help="new folder")

    apply = commands.add_parser("apply", help="read verdicts back into the journal")
    apply.add_argument("--review", type=Path, required=True)

    undo = commands.add_parser("undo", help="set corrections back")
    what = undo.add_mutually_exclusive_group(required=True)
    what.add_argument("--all", action="store_true")
    what.add_argument("--round", type=int)
    what.add_argument("--annotations", nargs="+", help="annotation ids")
    undo.add_argument("--dataset", help="only of this data set of the journal")

    export = commands.add_parser("export", help="write a corrected COCO JSON")
    export.add_argument("--dataset", help="needed if the journal is of several")
    export.add_argument("--proposed", action="store_true", help="with what is only proposed")
    export.add_argument("--output", type=Path, required=True)

    recover = commands.add_parser("recover", help="write what is whole of a damaged journal")
    recover.add_argument("--output", type=Path, required=True)

    for command in (report, apply, undo, export, recover):
        command.add_argument("--journal", type=Path, required=True)
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> Any:
    """Run a command; return what it wrote."""
    args = parse_args(words)
    return globals()[f"run_{args.command}"](args)


def run_sweep(args: argparse.Namespace) -> Path:
    """Judge all labels; write page, review table, proposals and all findings."""
    folder = free_path(args.output)
    rank = import_cleanlab() if args.cleanlab else None
    thresholds = AuditThresholds(
        **{name: getattr(args, name) for name in asdict(AuditThresholds())}
    )
    cfg = setup_cfg(args)
    check_classes(cfg, [args.dataset], "--dataset")
    records, annotations = load_indexed([args.dataset], filter_empty=False)
    detections = sweep_labels(cfg, records, args.weights)
    suspects = find_suspects(records, detections, annotations, thresholds)
    settings = {**asdict(thresholds), "weights": ", ".join(args.weights)}
    store = propose(suspects, annotations, settings)
    store.save(folder / "proposals.jsonl")
    (folder / "suspects.json").write_text(json.dumps([asdict(s) for s in suspects], indent=1))
    _write_report(folder, store.entries, settings, suspects)
    if rank:
        compare_with_cleanlab(rank, annotations, records, detections, suspects, folder)
    print(f"{len(suspects)} findings among {len(annotations)} annotations: {folder}/report.html")
    return folder


def run_split(args: argparse.Namespace) -> list[Path]:
    """Write one training file per fold."""
    try:
        data = load_coco(args.annotations)
    except (OSError, ValueError) as error:
        raise SystemExit(str(error)) from None
    if not 2 <= args.folds <= len(data["images"]):
        raise ValueError(f"--folds {args.folds}: from 2 to the number of pictures")
    images = sorted(data["images"], key=lambda image: image["id"])
    paths = []
    for fold in range(args.folds):
        left_out = {i["id"] for i, f in zip(images, fold_of(images, args.folds)) if f == fold}
        part = {
            **data,
            "images": [i for i in data["images"] if i["id"] not in left_out],
            "annotations": [a for a in data["annotations"] if a["image_id"] not in left_out],
        }
        path = args.output / f"without_fold_{fold}.json"
        paths.append(save_text(json.dumps(part), path))
        print(paths[-1])
    return paths


def run_report(args: argparse.Namespace) -> Path:
    """Write page and review table of a journal."""
    store = RelabelStore.load(args.journal)
    folder = free_path(args.output)
    folder.mkdir(parents=True)
    _write_report(folder, latest(store.entries), store.settings)
    print(f"{folder}/report.html")
    return folder


def run_apply(args: argparse.Namespace) -> list[Entry]:
    """Add the verdicts of a review table to the journal."""
    store = RelabelStore.load(args.journal)
    added = store.review(read_review(args.review, store.entries))
    return _save(store, args.journal, added)


def run_undo(args: argparse.Namespace) -> list[Entry]:
    """Set corrections back.

    Raises:
        KeyError: the journal does not have the annotation or data set.
        ValueError: several data sets have the annotation, and none is named; or see
            :meth:`drfpn_da.labels.RelabelStore.undo`.
    """
    store = RelabelStore.load(args.journal)
    names = {dataset.name for dataset in store.datasets}
    if args.dataset and args.dataset not in names:
        raise KeyError(f"{args.journal} is of {sorted(names)}, not of '{args.dataset}'")
    keys = {entry.key for entry in store.entries if args.dataset in (None, entry.dataset)}
    if args.annotations:
        keys = {key for word in args.annotations for key in _keys_of(word, keys, args.journal)}
    return _save(store, args.journal, store.undo(keys, args.round))


def _keys_of(word: str, keys: Collection[Key], journal: Path) -> list[Key]:
    found = sorted(key for key in keys if str(key[1]) == word)
    if not found:
        raise KeyError(f"annotation {word} is not in {journal}")
    if len(found) > 1:
        raise ValueError(
            f"several data sets of {journal} have an annotation {word}: choose with --dataset "
            f"among {[name for name, _ in found]}"
        )
    return found


def run_export(args: argparse.Namespace) -> Path:
    """Write a corrected COCO JSON."""
    store = RelabelStore.load(args.journal)
    name = args.dataset or store.datasets[0].name
    if not args.dataset and len(store.datasets) > 1:
        raise ValueError(f"choose with --dataset: {[d.name for d in store.datasets]}")
    data = corrected_coco(store, name, args.proposed)
    path = save_text(json.dumps(data), args.output)
    print(f"{path}: {data['info']['relabelled']['annotations']} annotations corrected")
    return path


def run_recover(args: argparse.Namespace) -> Path:
    """Write what is whole of a damaged journal to a new file."""
    journal = recover_journal(args.journal)
    path = save_new(args.output, lambda name: write_journal(journal, name))
    print(f"{path}: {len(journal.entries)} entries")
    return path


def latest(entries: Sequence[Entry]) -> list[Entry]:
    """Return the last entry of each annotation."""
    return list({entry.key: entry for entry in entries}.values())


def import_cleanlab() -> Any:
    """Return cleanlab's module of scores.

    Raises:
        SystemExit: it is not installed; says how.
    """
    try:
        from cleanlab.object_detection import rank
    except ImportError as error:
        raise SystemExit(
            f"--cleanlab needs cleanlab ({error}): pip install 'drfpn_da[labels]'"
        ) from None
    return rank


def compare_with_cleanlab(
    rank: Any,
    annotations: AnnotationIndex,
    records: Sequence[dict[str, Any]],
    detections: Sequence[Any],
    suspects: Sequence[Suspect],
    folder: Path,
) -> None:
    """Write cleanlab's scores beside ours: quality of pictures, and that of classes of boxes.

    Args:
        rank: of :func:`import_cleanlab`.
        annotations: numbering of the records' annotations.
        records: of the data set.
        detections: of each record.
        suspects: what was found.
        folder: for ``cleanlab.json``; a low score is suspicious.
    """
    labels, predictions = to_cleanlab(records, detections, len(annotations.class_names))
    quality = rank.get_label_quality_scores(labels, predictions, verbose=False)
    swapped = rank.compute_swap_box_scores(labels=labels, predictions=predictions)
    ours = {s.annotation_id: s.score for s in suspects if s.kind == "class"}
    worst: dict[str, float] = {}
    for suspect in suspects:
        worst[suspect.file_name] = max(worst.get(suspect.file_name, 0.0), suspect.score)
    pictures, boxes = [], []
    for record, whole, parts in zip(records, quality, swapped):
        name = record["file_name"]
        pictures.append(
            {"file_name": name, "cleanlab": float(whole), "suspicion": worst.get(name, 0.0)}
        )
        kept = [a for a in record["annotations"] if not a.get("iscrowd", 0)]
        for annotation, part in zip(kept, parts):
            number = annotations.annotation_ids[annotation["annotation_index"]]
            boxes.append(
                {
                    "annotation_id": number,
                    "cleanlab": float(part),
                    "suspicion": ours.get(number, 0.0),
                }
            )
    content = {
        "pictures": sorted(pictures, key=lambda row: row["cleanlab"]),
        "classes": sorted(boxes, key=lambda row: row["cleanlab"]),
    }
    path = save_text(json.dumps(content), folder / "cleanlab.json")
    print(f"cleanlab's scores: {path}")


def _write_report(
    folder: Path,
    entries: Sequence[Entry],
    settings: dict[str, Any],
    suspects: Sequence[Suspect] = (),
) -> None:
    others = [s for s in suspects if s.kind != "class"]
    relabel_page("Labels in doubt", entries, settings, others).save(folder / "report.html")
    open_entries = [e for e in entries if e.status in ("proposed", "applied")]
    write_review(open_entries, folder / "review.csv")


def _save(store: RelabelStore, path: Path, added: list[Entry]) -> list[Entry]:
    if added:
        if len(read_journal(path).entries) != len(store.entries) - len(added):
            raise ValueError(
                f"{path} has got entries meanwhile, of a training that goes on or of another "
                "command: run this command again"
            )
        shutil.copyfile(path, free_path(path.with_suffix(".before.jsonl")))
        store.save(path)
    print(f"{path}: {len(added)} entries added")
    return added


if __name__ == "__main__":
    main()
