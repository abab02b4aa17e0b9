"""Training and evaluation of detectron2's LazyConfigs, with the same promises as ``Trainer``."""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Iterator
from typing import Any

import torch
from detectron2.config import LazyConfig, instantiate
from detectron2.data import build_detection_train_loader
from detectron2.engine import SimpleTrainer, default_writers, hooks
from detectron2.evaluation import inference_on_dataset, print_csv_format
from detectron2.utils import comm
from omegaconf import DictConfig, OmegaConf
from torch import nn

from ..checkpoint import SafeCheckpointer
from ..config.safe_yaml import load_lazy_config
from ..config.setup import find_config_file
from ..data.loader import build_train_loader
from ..data.seeding import Stream, derive_seed, seed_everything, seeded
from ..data.two_stream import build_target_loader, build_two_stream_loader
from ..data.validate import check_class_count, class_names
from .accumulation import accumulate_gradients
from .clipping import clip_gradients
from .hooks import RunningNormalizer, SharedStatistics, StepSeed
from .run import EVAL_FOLDER, finish_setup, refuse_other_run, shared_seed
from .step import (
    amp_trainer,
    build_ddp_model,
    dead_workers_explained,
    read_losses_at_once,
    unoptimised_scripts,
)

logger = logging.getLogger(__name__)


def start_lazy_run(args: argparse.Namespace) -> DictConfig:
    """Load the config of the command line and start its run; see :func:`start_run`.

    Without CUDA, ``train.device`` becomes "cpu". ``train.seed`` is drawn if absent or negative. A
    training loader of detectron2's kind is exchanged for the seeded one; the loaders of this
    package get the run's seed where they name none.

    Args:
        args: arguments with ``config_file`` (a path or a model zoo name), ``opts``, ``resume``,
            ``eval_only``.

    Raises:
        FileNotFoundError: no such config.
        FileExistsError: the output folder holds another run.
        ValueError: the model has another number of classes than a data set.
        ValueError: the seed is too large.
    """
    args.config_file = find_config_file(args.config_file)
    cfg = LazyConfig.apply_overrides(load_lazy_config(args.config_file), args.opts)
    train = cfg.train
    if train.device == "cuda" and not torch.cuda.is_available():
        logger.warning("CUDA is not available: train.device is 'cpu' instead of 'cuda'")
        train.device = "cpu"
    seed = train.get("seed", -1)
    if args.eval_only:
        train.output_dir = os.path.join(train.output_dir, EVAL_FOLDER)
    elif refuse_other_run(train.output_dir, args.resume, "train.output_dir"):
        saved = os.path.join(train.output_dir, "config.yaml")
        if seed < 0 and os.path.isfile(saved):
            seed = OmegaConf.load(saved).train.get("seed", -1)
    train.seed = shared_seed(seed, "train.seed")
    check_lazy_classes(cfg)
    if "train" in cfg.dataloader:
        _seed_loader(cfg.dataloader.train, train.seed)
    finish_setup(cfg, args, train.output_dir, train.seed)
    return cfg


def _seed_loader(node: DictConfig, seed: int) -> None:
    """Give a training loader, or both of a two-stream loader, the run's seed."""
    if node["_target_"] is build_two_stream_loader:
        _seed_loader(node.source, seed)
        _seed_loader(node.target, seed)
    if node["_target_"] is build_detection_train_loader:
        node["_target_"] = build_train_loader
    if node["_target_"] in (build_train_loader, build_target_loader) and "seed" not in node:
        node.seed = seed


def check_lazy_classes(cfg: DictConfig) -> None:
    """Check each ``num_classes`` of the model against the data sets of the loaders, by name.

    Those of heads for semantic labels have "sem_seg" in their path; those of backbones are no
    classes of this training. Target data sets, whose labels are not read, are not checked.

    Raises:
        ValueError: another number of classes; names the key and the number to write.
    """
    counts = {
        path: count
        for path, count in _values_of(cfg.get("model", {}), "num_classes", "model")
        if isinstance(count, int) and "backbone" not in path
    }
    for path, names in _values_of(cfg.get("dataloader", {}), "names", "dataloader"):
        if "target" in path:
            continue
        for name in [names] if isinstance(names, str) else names:
            for key, count in counts.items():
                field = "stuff_classes" if "sem_seg" in key else "thing_classes"
                known = class_names(name, field)
                if known is not None:
                    check_class_count(key, count, name, known)


def _values_of(node: Any, key: str, path: str) -> Iterator[tuple[str, Any]]:
    """Yield path and value of every ``key`` below a node of a LazyConfig."""
    if not isinstance(node, DictConfig):
        return
    for name in node:
        below = f"{path}.{name!s}"
        # A reference may lead nowhere as long as nothing is built from it.
        if not OmegaConf.is_missing(node, name) and not OmegaConf.is_interpolation(node, name):
            if name == key:
                yield below, node[name]
            yield from _values_of(node[name], key, below)


def train_lazy(cfg: DictConfig, resume: bool = False) -> dict[str, Any] | None:
    """Train the model of a LazyConfig.

    Args:
        cfg: with ``model``, ``optimizer``, ``lr_multiplier``, ``dataloader`` and ``train``, as in
            detectron2's ``configs/common``; ``train.hooks`` may list further hooks,
            ``train.accumulation_steps`` says in how many parts a batch runs, and
            ``train.clip_gradients`` has the arguments of :func:`clip_gradients`.
        resume: continue from the last checkpoint in ``train.output_dir``, if there is one.

    Returns:
        Results of the last evaluation, or None if there was none.
    """
    seed_everything(derive_seed(cfg.train.seed, Stream.MODEL))
    model = instantiate(cfg.model).to(cfg.train.device)
    logger.info("Model:\n%s", model)
    cfg.optimizer.params.model = model
    optimizer = instantiate(cfg.optimizer)
    if "clip_gradients" in cfg.train:
        clip_gradients(optimizer, **cfg.train.clip_gradients)
    # A sampler without a seed draws it from numpy's generator.
    with seeded(derive_seed(cfg.train.seed, Stream.SAMPLER)):
        loader = instantiate(cfg.dataloader.train)
    amp = cfg.train.amp
    step_trainer = (
        amp_trainer(amp.get("precision", "float16"), torch.device(cfg.train.device))
        if amp.enabled
        else SimpleTrainer
    )
    trainer = step_trainer(build_ddp_model(model, **cfg.train.ddp), loader, optimizer)
    read_losses_at_once(trainer)
    accumulate_gradients(trainer, cfg.train.get("accumulation_steps", 1))
    checkpointer = SafeCheckpointer(model, cfg.train.output_dir, trainer=trainer)
    results: dict[str, Any] = {}

    def evaluate() -> dict[str, Any]:
        results.update(evaluate_lazy(cfg, trainer.model))
        return results

    main = comm.is_main_process()
    trainer.register_hooks(
        [
            StepSeed(cfg.train.seed),
            RunningNormalizer(),
            *(instantiate(hook) for hook in cfg.train.get("hooks", [])),
            SharedStatistics(),
            hooks.IterationTimer(),
            hooks.LRScheduler(scheduler=instantiate(cfg.lr_multiplier)),
            hooks.PeriodicCheckpointer(checkpointer, **cfg.train.checkpointer) if main else None,
            hooks.EvalHook(cfg.train.eval_period, evaluate),
            hooks.PeriodicWriter(
                default_writers(cfg.train.output_dir, cfg.train.max_iter),
                period=cfg.train.log_period,
            )
            if main
            else None,
        ]
    )
    checkpointer.resume_or_load(cfg.train.init_checkpoint, resume=resume)
    start = trainer.iter + 1 if resume and checkpointer.has_checkpoint() else 0
    loader.start_iter = start
    with unoptimised_scripts(), dead_workers_explained():
        trainer.train(start, cfg.train.max_iter)
    return results or None


def evaluate_lazy(cfg: DictConfig, model: nn.Module) -> dict[str, Any]:
    """Evaluate with the test loader and evaluator of a LazyConfig; empty if it has none.

    Returns:
        Results by task on the main process.
    """
    if "evaluator" not in cfg.dataloader:
        return {}
    results = inference_on_dataset(
        model, instantiate(cfg.dataloader.test), instantiate(cfg.dataloader.evaluator)
    )
    print_csv_format(results)
    return results
