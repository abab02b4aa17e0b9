"""``Trainer`` extends detectron2's ``DefaultTrainer``."""

from __future__ import annotations

import os
from collections import OrderedDict
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetMapper, build_detection_test_loader
from detectron2.engine import DefaultTrainer, HookBase, hooks
from detectron2.evaluation import DatasetEvaluator, DatasetEvaluators, inference_context
from detectron2.modeling import GeneralizedRCNNWithTTA
from detectron2.utils import comm
from detectron2.utils.events import EventWriter
from torch import nn

from ..checkpoint import SafeCheckpointer
from ..compat import default_trainer_parts
from ..config import check_config
from ..config.combinations import lookup
from ..data.checked_json import damaged_json_named
from ..data.checked_mapper import CheckedMapper
from ..data.disparity_loader import DISPARITY_MODELS, build_disparity_loader
from ..data.patch_loader import build_patch_loader
from ..data.patches import PATCH_MODELS, PatchMapper
from ..data.seeding import Stream, derive_seed, seed_everything
from ..data.sequences import SEQUENCE_MODELS, build_sequence_loader
from ..data.two_stream import build_adaptation_loader
from ..data.validate import check_classes
from ..evaluation import build_evaluators
from ..modeling.feature_taps import evaluating
from .accumulation import accumulate_gradients, check_parts
from .dense_label_hook import build_dense_label_hooks
from .hooks import (
    PeriodicWriter,
    PredictionPictures,
    RunningNormalizer,
    SharedStatistics,
    StepSeed,
)
from .mix_pictures import build_mix_pictures
from .model_selection import (
    add_results,
    best_checkpointers,
    check_evaluation,
    detector_for_tta,
    with_other_evaluation,
    with_sliding_window,
)
from .optimizer import build_optimizer
from .other_evaluation import other_evaluation
from .pseudo_label_monitor import build_pseudo_label_monitors
from .relabel_hook import build_relabel_hooks
from .run import shared_seed
from .scaling import scale_to_processes
from .soft_label_hook import build_soft_label_hooks
from .step import (
    amp_trainer,
    build_ddp_model,
    dead_workers_explained,
    read_losses_at_once,
    unoptimised_scripts,
)
from .wandb_writer import WandbWriter

#: Names of features that detectron2's heads look up without a word about the key.
FEATURE_KEYS = (
    "MODEL.RPN.IN_FEATURES",
    "MODEL.ROI_HEADS.IN_FEATURES",
    "MODEL.RETINANET.IN_FEATURES",
    "MODEL.SEM_SEG_HEAD.IN_FEATURES",
)


class Trainer(DefaultTrainer):
    """detectron2's ``DefaultTrainer`` with target domains, exact resume and more checks.

    - Runs repeat and resume exactly (on the CPU bit by bit), whatever the number of workers.
    - Several processes and mixed precision also without a GPU, gradient accumulation, and
      ``SOLVER.REFERENCE_WORLD_SIZE`` for every method's keys.
    - Evaluators from the data set's metadata, the best checkpoint, drawn predictions, wandb.
    - Checkpoints that are whole even if the process is killed while it saves.
    - Errors that name the picture, the annotation file or the checkpoint.

    Args:
        cfg: with the keys of drfpn_da; usually what :func:`drfpn_da.engine.start_run` returned.

    Raises:
        ValueError: a value that cannot be, or methods that do not go together.
    """

    def __init__(self, cfg: CfgNode) -> None:
        check_config(cfg)
        check_classes(cfg, cfg.DATASETS.TRAIN, "DATASETS.TRAIN")
        cfg = cfg.clone()
        cfg.defrost()
        cfg.SEED = shared_seed(cfg.SEED)
        cfg.freeze()
        cfg = scale_to_processes(cfg, comm.get_world_size())
        check_parts(cfg, comm.get_world_size())
        seed_everything(derive_seed(cfg.SEED, Stream.MODEL))
        parts = default_trainer_parts(
            create_ddp_model=build_ddp_model,
            AMPTrainer=amp_trainer(cfg.SOLVER.AMP.PRECISION, torch.device(cfg.MODEL.DEVICE)),
            DetectionCheckpointer=SafeCheckpointer,
        )
        with parts, damaged_json_named(*cfg.DATASETS.TRAIN, *cfg.DATASETS.TARGET):
            super().__init__(cfg)
        read_losses_at_once(self._trainer)
        accumulate_gradients(self._trainer, cfg.SOLVER.ACCUMULATION_STEPS)

    @classmethod
    def build_model(cls, cfg: CfgNode) -> nn.Module:
        """Return detectron2's model, with errors that name the key of a feature that is missing."""
        try:
            return super().build_model(cfg)
        except KeyError as error:
            askers = [key for key in FEATURE_KEYS if error.args[0] in lookup(cfg, key)]
            if not askers:
                raise
            raise KeyError(
                f"the backbone {cfg.MODEL.BACKBONE.NAME} gives no '{error.args[0]}', which "
                f"{' and '.join(askers)} may ask for: change that, or what the backbone gives"
            ) from error

    @classmethod
    def build_optimizer(cls, cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
        """Return the optimiser of SOLVER.OPTIMIZER."""
        return build_optimizer(cfg, model)

    @classmethod
    def build_lr_scheduler(cls, cfg: CfgNode, optimizer: torch.optim.Optimizer) -> Any:
        """Return detectron2's scheduler, or DeepLab's WarmupPolyLR if that is named."""
        if cfg.SOLVER.LR_SCHEDULER_NAME == "WarmupPolyLR":
            from detectron2.projects.deeplab import build_lr_scheduler

            return build_lr_scheduler(cfg, optimizer)
        return super().build_lr_scheduler(cfg, optimizer)

    @classmethod
    def build_train_loader(cls, cfg: CfgNode) -> Any:
        """Return a loader whose batches depend on the seed and the iteration alone."""
        if cfg.MODEL.META_ARCHITECTURE in SEQUENCE_MODELS:
            return build_sequence_loader(cfg)
        if cfg.MODEL.META_ARCHITECTURE in DISPARITY_MODELS:
            return build_disparity_loader(cfg)
        if cfg.MODEL.META_ARCHITECTURE in PATCH_MODELS:
            return build_patch_loader(cfg)
        return build_adaptation_loader(cfg)

    @classmethod
    def build_test_loader(cls, cfg: CfgNode, dataset_name: str) -> Any:
        """Return detectron2's loader, with errors that name the picture."""
        kind = PatchMapper if cfg.MODEL.META_ARCHITECTURE in PATCH_MODELS else DatasetMapper
        mapper = CheckedMapper(kind(cfg, False))
        with damaged_json_named(dataset_name):
            return build_detection_test_loader(cfg, dataset_name, mapper=mapper)

    @classmethod
    def build_evaluator(
        cls, cfg: CfgNode, dataset_name: str, output_folder: str | None = None
    ) -> DatasetEvaluators:
        """Return the evaluators that the data set's metadata and TEST.LABEL_FREE ask for.

        With several test sets, each writes into a folder of its own name.
        """
        folder = output_folder or os.path.join(cfg.OUTPUT_DIR, "inference")
        if len(cfg.DATASETS.TEST) > 1:
            folder = os.path.join(folder, dataset_name)
        return build_evaluators(cfg, dataset_name, folder)

    @classmethod
    def test(
        cls,
        cfg: CfgNode,
        model: nn.Module,
        evaluators: DatasetEvaluator | list[DatasetEvaluator] | None = None,
    ) -> OrderedDict:
        """Evaluate on every test set, as detectron2 does.

        See also the keys TEST.SLIDING_WINDOW, TEST.LABEL_FREE and TEST.EVAL_BOTH.

        Returns:
            Task -> metric -> value; with several test sets, set -> task -> metric -> value.

        Raises:
            ValueError: a teacher is asked for and there is none, or a test set has other classes
                than the model.
        """
        check_classes(cfg, cfg.DATASETS.TEST, "DATASETS.TEST")
        model = with_sliding_window(cfg, model)
        results = super().test(cfg, with_other_evaluation(cfg, model), evaluators)
        if cfg.TEST.EVAL_BOTH:
            name, predict = other_evaluation(model, "TEST.EVAL_BOTH")
            folder = os.path.join(cfg.OUTPUT_DIR, f"inference_{name}")
            if evaluators is None:
                evaluators = [cls.build_evaluator(cfg, n, folder) for n in cfg.DATASETS.TEST]
            with inference_context(model):
                others = super().test(cfg, predict, evaluators)
            add_results(results, others, f"_{name}", len(cfg.DATASETS.TEST) > 1)
        return results

    @classmethod
    def test_with_TTA(cls, cfg: CfgNode, model: nn.Module) -> OrderedDict:
        """Evaluate with test-time augmentation (TEST.AUG); result names end in ``_TTA``.

        Raises:
            ValueError: the detector is not a GeneralizedRCNN, or it uses context vectors.
        """
        tta = GeneralizedRCNNWithTTA(cfg, detector_for_tta(cfg, model))
        folder = os.path.join(cfg.OUTPUT_DIR, "inference_TTA")
        evaluators = [cls.build_evaluator(cfg, name, folder) for name in cfg.DATASETS.TEST]
        # Put back module by module: the wrapper says that it trains, a teacher does not.
        with evaluating(tta):
            results = super().test(cfg, tta, evaluators)
        return OrderedDict((f"{name}_TTA", value) for name, value in results.items())

    def build_hooks(self) -> list[HookBase | None]:
        """Return detectron2's hooks and those of drfpn_da, the writers last."""
        cfg = self.cfg
        if cfg.DATASETS.TEST:
            check_evaluation(cfg, self.model)
        relabelling = build_relabel_hooks(cfg, self.model)
        stock = super().build_hooks()
        # PreciseBN gives each process statistics of its own again; what comes next saves them.
        precise = [i for i, hook in enumerate(stock) if isinstance(hook, hooks.PreciseBN)]
        stock.insert(precise[0] + 1 if precise else 0, SharedStatistics())
        ret = [
            # Their loaders draw random numbers: before the step is seeded.
            *build_dense_label_hooks(cfg),
            *build_pseudo_label_monitors(cfg),
            StepSeed(cfg.SEED),
            RunningNormalizer(),
            *relabelling,
            *build_soft_label_hooks(cfg),
            *stock,
        ]
        extra: list[HookBase] = []
        if cfg.TEST.AUG.ENABLED:
            extra.append(hooks.EvalHook(0, lambda: self.test_with_TTA(cfg, self.model)))
        if comm.is_main_process():
            extra += best_checkpointers(cfg, self.checkpointer)
            extra += build_mix_pictures(cfg, self.model)
            if cfg.VIS_PERIOD > 0 and cfg.DATASETS.TEST and cfg.TEST.VIS_IMAGES:
                extra.append(PredictionPictures(cfg))
        last: list[HookBase] = []
        if isinstance(ret[-1], hooks.PeriodicWriter):
            writer = ret.pop()
            last = [PeriodicWriter(writer._writers, writer._period, cfg.TEST.EVAL_PERIOD)]
        return ret + extra + last

    def build_writers(self) -> list[EventWriter]:
        """Return detectron2's writers, and wandb's if WANDB.ENABLED."""
        writers = super().build_writers()
        if self.cfg.WANDB.ENABLED:
            writers.append(WandbWriter(self.cfg))
        return writers

    def train(self) -> OrderedDict | None:
        """Train from ``start_iter`` on, with the data that belong there.

        Returns:
            Results of the last evaluation, or None if there was none.
        """
        self.data_loader.start_iter = self.start_iter
        super().train()
        return getattr(self, "_last_eval_results", None)

    def run_step(self) -> None:
        """One iteration.

        Raises:
            FloatingPointError: a loss is infinite or NaN; names losses and pictures.
            RuntimeError: a process that loads data died; says why that may be.
        """
        try:
            with unoptimised_scripts(), dead_workers_explained():
                super().run_step()
        except FloatingPointError as error:
            files = getattr(self.data_loader, "file_names", [])
            raise FloatingPointError(
                f"{error}\npictures of this batch (process {comm.get_rank()}): {', '.join(files)}\n"
                "lower SOLVER.BASE_LR, lengthen SOLVER.WARMUP_ITERS or enable SOLVER.CLIP_GRADIENTS"
            ) from error
