"""A derived folder is built once, completely, by one of many processes."""

from __future__ import annotations

import multiprocessing
import os
import time

import pytest

from drfpn_da.data.datasets.paths import build_once, fingerprint, require_layout


def _slow_build(folder):
    (folder / "first").write_text(str(os.getpid()))
    time.sleep(0.3)
    (folder / "second").write_text(str(os.getpid()))


def _ask(target, answers):
    folder = build_once(target, _slow_build)
    # Complete at the moment of return, in every process.
    answers.put(((folder / "first").read_text(), (folder / "second").read_text()))


def test_many_processes_build_once(tmp_path):
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    target = tmp_path / "deep" / "target"
    workers = [context.Process(target=_ask, args=(target, answers)) for _ in range(6)]
    for worker in workers:
        worker.start()
    seen = {answers.get(timeout=30) for _ in workers}
    for worker in workers:
        worker.join()
    assert len(seen) == 1, "more than one process built, or someone saw a partial folder"
    assert len(set(next(iter(seen)))) == 1
    leftovers = [p.name for p in target.parent.iterdir() if p.is_dir() and p != target]
    assert leftovers == []


def test_failed_build_leaves_nothing_and_can_be_repeated(tmp_path):
    def fail(folder):
        (folder / "partial").write_text("x")
        raise RuntimeError("disk on fire")

    target = tmp_path / "target"
    with pytest.raises(RuntimeError, match="disk on fire"):
        build_once(target, fail)
    assert [p for p in tmp_path.iterdir() if p.is_dir()] == []
    build_once(target, lambda folder: (folder / "whole").write_text("x"))
    assert [p.name for p in target.iterdir()] == ["whole"]


def test_lost_race_without_locks_keeps_the_winner(tmp_path):
    target = tmp_path / "target"

    def build(folder):
        # Another process finishes first, as happens where file locks do nothing.
        target.mkdir()
        (target / "winner").write_text("x")
        (folder / "loser").write_text("x")

    assert build_once(target, build) == target
    assert [p.name for p in target.iterdir()] == ["winner"]


def test_other_users_can_read_what_was_built(tmp_path):
    target = build_once(tmp_path / "target", lambda folder: None)
    assert target.stat().st_mode & 0o055 == 0o055


def test_missing_layout_names_variable_layout_and_path(private_roots):
    root, _ = private_roots
    with pytest.raises(FileNotFoundError) as error:
        require_layout("some_train", "some", ["images"], "some/\n  images/*.jpg")
    message = str(error.value)
    for part in ("some_train", "DETECTRON2_DATASETS", str(root / "some" / "images"), "*.jpg"):
        assert part in message


def test_fingerprint_follows_content_and_rule(tmp_path):
    file = tmp_path / "labels.txt"
    file.write_text("a")
    first = fingerprint([file], 100)
    assert first == fingerprint([file], 100)
    assert first != fingerprint([file], 200)
    file.write_text("ab")
    assert first != fingerprint([file], 100)
