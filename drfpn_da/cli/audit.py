"""Judge labels, and show what was found: ``drfpn-da audit sweep``, ``split``, ``report``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..config import setup_cfg
from ..data import load_indexed
from ..data.coco import load_coco
from ..data.validate import check_classes
from ..engine.confidence_sweep import find_suspects, fold_of, propose, sweep_labels
from ..labels import AnnotationIndex, Entry, RelabelStore
from ..labels.audit import AuditThresholds, Suspect
from ..labels.export import to_cleanlab
from ..labels.review import write_review
from ..visualization import free_path, save_text
from ..visualization.relabels import relabel_page


def sweep(args: argparse.Namespace) -> Path:
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


def split(args: argparse.Namespace) -> list[Path]:
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


def report(args: argparse.Namespace) -> Path:
    """Write page and review table of a journal."""
    store = RelabelStore.load(args.journal)
    folder = free_path(args.output)
    folder.mkdir(parents=True)
    _write_report(folder, latest(store.entries), store.settings)
    print(f"{folder}/report.html")
    return folder


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
