"""Start a run: its seed, its checks, and an output folder that holds no other run."""

from __future__ import annotations

import argparse
import logging
import os
import secrets
import shutil
from pathlib import Path

from detectron2.config import CfgNode
from detectron2.engine import default_setup
from detectron2.utils import comm
from detectron2.utils.logger import setup_logger

from ..checkpoint.safe import LAST
from ..config.combinations import configured_detector, lookup
from ..config.safe_yaml import check_yaml
from ..config.unknown_keys import leaf_keys
from ..data import validate_datasets
from ..data.validate import CLASS_KEYS, log_findings

logger = logging.getLogger(__name__)

# What training leaves behind; any of them marks the folder as taken. A config.yaml alone is what
# a start that failed (a wrong key value, say) leaves: it may be tried again in the same folder.
RUN_FILES = ("last_checkpoint", "metrics.json", "*.pth")
# Where --eval-only writes, below OUTPUT_DIR.
EVAL_FOLDER = "eval"


def start_run(cfg: CfgNode, args: argparse.Namespace) -> CfgNode:
    """Check the config and its output folder, draw the seed, and do detectron2's default set-up.

    Training refuses a folder that holds another run, unless it resumes that run; then differing
    keys are warned about and the former ``config.yaml`` is kept under another name. Evaluation
    writes below ``OUTPUT_DIR/eval``, so that the run it evaluates stays as it is.

    Args:
        cfg: frozen config of :func:`drfpn_da.config.setup_cfg`.
        args: arguments with ``resume`` and ``eval_only``.

    Returns:
        The frozen config of this run: ``SEED`` is set, and ``OUTPUT_DIR`` is where it may write.

    Raises:
        FileExistsError: the output folder holds another run.
        ValueError, KeyError: data sets and model do not agree, or the run to resume had another
            number of classes.
    """
    cfg = cfg.clone()
    cfg.defrost()
    if args.eval_only:
        cfg.OUTPUT_DIR = os.path.join(cfg.OUTPUT_DIR, EVAL_FOLDER)
        checked = cfg.clone()
        checked.DATASETS.TRAIN = ()
        validate_datasets(checked)
    else:
        validate_datasets(cfg)
        refuse_other_run(cfg.OUTPUT_DIR, args.resume, "OUTPUT_DIR")
        if args.resume:
            _continue_saved(cfg)
        elif comm.is_main_process():
            _keep(Path(cfg.OUTPUT_DIR, "config.yaml"), "failed_start")
    cfg.SEED = shared_seed(cfg.SEED)
    cfg.freeze()
    finish_setup(cfg, args, cfg.OUTPUT_DIR, cfg.SEED)
    training = () if args.eval_only else (*cfg.DATASETS.TRAIN, *cfg.DATASETS.TARGET)
    log_findings([*training, *cfg.DATASETS.TEST])
    return cfg


def refuse_other_run(folder: str, resume: bool, key: str) -> bool:
    """Raise FileExistsError if the folder holds a run that is not to be resumed.

    Args:
        folder: output folder.
        resume: the run found there is to be continued.
        key: config key of the folder, for the message.

    Returns:
        Whether there is a run to continue; the same on all processes.
    """
    found = comm.is_main_process() and any(
        next(Path(folder).glob(pattern), None) for pattern in RUN_FILES
    )
    # Asked by one process before any writes, answered to all.
    found = comm.all_gather(found)[0]
    if found and not resume:
        raise FileExistsError(
            f"{key} {folder} holds another run: add --resume to continue it, or choose another "
            f"folder for {key}"
        )
    return found


def shared_seed(seed: int, key: str = "SEED") -> int:
    """Return ``seed``, or if it is negative a random one, the same on all processes.

    Args:
        seed: as configured.
        key: config key of it, for the message.

    Raises:
        ValueError: it is too large for NumPy once a process has added its number, as detectron2's
            set-up does.
    """
    largest = 2**32 - comm.get_world_size()
    if seed > largest:
        raise ValueError(
            f"{key} is {seed}; write at most {largest}, or -1 for one that is drawn at random"
        )
    return seed if seed >= 0 else comm.all_gather(secrets.randbelow(2**31))[0]


def finish_setup(cfg: object, args: argparse.Namespace, folder: str, seed: int) -> None:
    """Do detectron2's default set-up (which writes ``config.yaml``) and log where the run goes."""
    # Nobody may write the new config before everybody has read the old one.
    comm.synchronize()
    default_setup(cfg, args)
    setup_logger(folder, distributed_rank=comm.get_rank(), name="drfpn_da")
    logger.info("The seed is %d; results go to %s", seed, os.path.abspath(folder))


def _continue_saved(cfg: CfgNode) -> None:
    """Take over the saved run's seed; keep its config, and say what differs, if it differs."""
    path = Path(cfg.OUTPUT_DIR, "config.yaml")
    if not path.is_file():
        return
    check_yaml(str(path))
    with path.open() as file:
        saved = CfgNode.load_cfg(file)
    _refuse_other_classes(cfg, saved)
    if cfg.SEED < 0:
        cfg.SEED = saved.get("SEED", -1)
    differences = config_differences(saved, cfg)
    if differences and comm.is_main_process():
        kept = _keep(path, "before_resume")
        logger.warning(
            "Resuming with a config that differs from the saved run's, which is kept as %s:\n%s",
            kept,
            "\n".join(f"  {key}: {old!r} -> {new!r}" for key, old, new in differences),
        )


def _refuse_other_classes(cfg: CfgNode, saved: CfgNode) -> None:
    """Raise ValueError if the run to resume had another number of classes."""
    last = Path(cfg.OUTPUT_DIR, LAST)
    if not last.is_file():
        return
    leaves = _leaves(saved)
    for key, _ in CLASS_KEYS.get(configured_detector(cfg), []):
        then, now = leaves.get(key, lookup(cfg, key)), lookup(cfg, key)
        if then != now:
            checkpoint = last.with_name(last.read_text().strip())
            raise ValueError(
                f"{checkpoint} was trained on {then} classes ({key} in {last.parent}/config.yaml), "
                f"now there are {now}: resume with {then}, or train anew without --resume in "
                f"another OUTPUT_DIR, from MODEL.WEIGHTS {checkpoint} if its backbone is wanted"
            )


def config_differences(old: CfgNode, new: CfgNode) -> list[tuple[str, object, object]]:
    """Return (key, old value, new value) of every leaf that differs; None where it is absent."""
    # Through YAML, which makes tuples lists, as in a saved config.
    old_leaves, new_leaves = (_leaves(CfgNode.load_cfg(cfg.dump())) for cfg in (old, new))
    keys = dict.fromkeys([*old_leaves, *new_leaves])
    values = [(key, old_leaves.get(key), new_leaves.get(key)) for key in keys]
    return [entry for entry in values if entry[1] != entry[2]]


def _leaves(cfg: CfgNode) -> dict[str, object]:
    return {key: lookup(cfg, key) for key in leaf_keys(cfg)}


def _keep(path: Path, label: str) -> Path:
    """Copy a file, if it is there, to a free name beside it; return that name."""
    number = 1
    while (kept := path.with_name(f"{path.stem}.{label}_{number}{path.suffix}")).exists():
        number += 1
    if path.is_file():
        shutil.copyfile(path, kept)
    return kept
