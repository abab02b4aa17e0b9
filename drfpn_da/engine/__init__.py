"""Training: the trainer, its hooks, and the start of a run."""

from ..renamed import former_names
from .accumulation import accumulate_gradients
from .clipping import clip_gradients
from .dense_label_hook import DenseLabelHook
from .depth_student import StudentUncertainty
from .domain_features import pool_features
from .grid_features import pool_grid_features
from .hooks import BestCheckpointer, PredictionPictures, RunningNormalizer, StepSeed
from .launch import launch
from .lazy import evaluate_lazy, start_lazy_run, train_lazy
from .optimizer import build_optimizer
from .other_evaluation import WithOtherEvaluation
from .project_hooks import add_hooks
from .relabel_hook import SCNRelabelHook
from .run import start_run
from .scaling import scale_to_processes
from .soft_label_hook import SoftLabelHook
from .step import CPUAMPTrainer, amp_trainer, build_ddp_model
from .trainer import Trainer
from .wandb_writer import WandbWriter

__all__ = [
    "BestCheckpointer",
    "CPUAMPTrainer",
    "DenseLabelHook",
    "PredictionPictures",
    "RunningNormalizer",
    "WithOtherEvaluation",
    "SCNRelabelHook",
    "SoftLabelHook",
    "StepSeed",
    "StudentUncertainty",
    "Trainer",
    "WandbWriter",
    "accumulate_gradients",
    "add_hooks",
    "amp_trainer",
    "build_ddp_model",
    "build_optimizer",
    "clip_gradients",
    "evaluate_lazy",
    "launch",
    "pool_features",
    "pool_grid_features",
    "scale_to_processes",
    "start_lazy_run",
    "start_run",
    "train_lazy",
]

__getattr__ = former_names(__name__, SecondOpinion="WithOtherEvaluation")
