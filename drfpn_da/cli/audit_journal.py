"""Verdicts and corrections of a journal: ``drfpn-da audit apply``, ``undo``, ``export`` ...

Nothing here needs torch: the answer to a person's verdict comes at once.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Collection
from pathlib import Path

from ..files import free_path, save_new, save_text
from ..labels.export import corrected_coco
from ..labels.journal import Entry, Key, read_journal, recover_journal, write_journal
from ..labels.review import read_review
from ..labels.store import RelabelStore


def apply(args: argparse.Namespace) -> list[Entry]:
    """Add the verdicts of a review table to the journal."""
    store = RelabelStore.load(args.journal)
    added = store.review(read_review(args.review, store.entries))
    return _save(store, args.journal, added)


def undo(args: argparse.Namespace) -> list[Entry]:
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


def export(args: argparse.Namespace) -> Path:
    """Write a corrected COCO JSON."""
    store = RelabelStore.load(args.journal)
    name = args.dataset or store.datasets[0].name
    if not args.dataset and len(store.datasets) > 1:
        raise ValueError(f"choose with --dataset: {[d.name for d in store.datasets]}")
    data = corrected_coco(store, name, args.proposed)
    path = save_text(json.dumps(data), args.output)
    print(f"{path}: {data['info']['relabelled']['annotations']} annotations corrected")
    return path


def recover(args: argparse.Namespace) -> Path:
    """Write what is whole of a damaged journal to a new file."""
    journal = recover_journal(args.journal)
    path = save_new(args.output, lambda name: write_journal(journal, name))
    print(f"{path}: {len(journal.entries)} entries")
    return path


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
