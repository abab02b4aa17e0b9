"""The hook that gathers votes on labels while training, decides, and corrects."""

from __future__ import annotations

import logging
import os
from dataclasses import asdict
from typing import Any, Optional

import torch
from detectron2.config import CfgNode
from detectron2.engine import HookBase
from detectron2.utils import comm
from torch import nn

from ..data.indexed import load_indexed_from_config, refuse_shared_test_data
from ..labels import (
    AnnotationIndex,
    RelabelPolicy,
    RelabelStore,
    VoteAccumulator,
    merge_votes,
    tally_votes,
)
from ..labels.policy import Streaks
from ..modeling.roi_heads import CorrectsLabels, find_scn_heads
from ..node_arguments import arguments
from .relabel_journal import RunJournal
from .relabel_votes import VoteRecorder, Windows
from .step import detector_of, model_device

logger = logging.getLogger(__name__)

#: The journal, in the folder of the run.
JOURNAL = "relabels.jsonl"


class SCNRelabelHook(HookBase):
    """Gathers votes on every annotation's class, decides after each window, corrects and records.

    In a dry run decisions are proposals in the journal, and training is bit for bit what it would
    be without. All processes decide alike on the votes of all; the main process writes. Its state
    is in the checkpoint, so that a resumed run writes the journal that an uninterrupted one would.

    Args:
        annotations: of the training data, whose instances have ``gt_annotation_index``.
        policy: decides.
        windows: when.
        journal: path of the journal.
        dry_run: propose only.
        min_iou: overlap from which proposals vote.
        probabilities: "raw" or "scaled".
        checkpoint_period: of the checkpoints: then the main process holds the votes of all.
        eval_period: of the evaluations, likewise, since the best checkpoint is saved after one; 0:
            none.
        start_journal: corrections to start from.

    Raises:
        ValueError: impossible thresholds; a start journal of other data.
    """

    def __init__(
        self,
        annotations: AnnotationIndex,
        policy: RelabelPolicy,
        windows: Windows,
        journal: str,
        *,
        dry_run: bool = True,
        min_iou: float = 0.5,
        probabilities: str = "raw",
        checkpoint_period: int = 5000,
        eval_period: int = 0,
        start_journal: str = "",
    ) -> None:
        if windows.count < policy.patience:
            raise ValueError(
                f"SCN_RELABEL.PATIENCE is {policy.patience}, but from step {windows.start} to "
                f"{windows.stop} there are only {windows.count} windows of {windows.period} steps, "
                "so that nothing would ever be decided: lower PATIENCE, PERIOD_EPOCHS or "
                "PERIOD_FRACTION, or train longer"
            )
        self._annotations, self._policy, self._windows = annotations, policy, windows
        self._dry_run, self._save_periods = dry_run, (checkpoint_period, eval_period)
        given = annotations.classes[: annotations.distinct]
        factors = policy.class_factors(given, len(annotations.class_names))
        self._votes = VoteAccumulator(len(annotations.class_names), factors)
        # Whether the main process, whose state is saved, has the votes of all.
        self._gathered = True
        self._recorder = VoteRecorder(self._votes, min_iou, probabilities)
        self._streaks: Streaks = {}
        self._resumed = False
        self._heads: Any = None  # once training begins: CorrectsLabels
        settings = {
            **asdict(policy),
            "classes": sorted(policy.classes),
            "forbidden": sorted(policy.forbidden),
            **asdict(windows),
            "dry_run": dry_run,
            "min_iou": min_iou,
            "probabilities": probabilities,
        }
        self._journal = RunJournal(journal, annotations, settings, start_journal)

    @property
    def store(self) -> RelabelStore:
        """The corrections so far."""
        return self._journal.store

    @classmethod
    def from_config(cls, cfg: CfgNode) -> SCNRelabelHook:
        """Build the hook that ``SCN_RELABEL`` describes.

        Raises:
            ValueError: the training data are also test data, or see the class.
        """
        node = cfg.SCN_RELABEL
        records, annotations = load_indexed_from_config(cfg)
        refuse_shared_test_data(annotations, cfg.DATASETS.TEST)
        return cls(
            annotations,
            _policy_from_config(cfg, annotations.class_names),
            Windows.from_config(cfg, len(records)),
            os.path.join(cfg.OUTPUT_DIR, JOURNAL),
            dry_run=node.DRY_RUN,
            min_iou=node.MIN_IOU,
            probabilities=node.PROBS,
            checkpoint_period=cfg.SOLVER.CHECKPOINT_PERIOD,
            eval_period=cfg.TEST.EVAL_PERIOD,
            start_journal=node.JOURNAL,
        )

    def before_train(self) -> None:
        """Connect to the model's ROI heads; keep a journal that is in the way."""
        heads = require_scn_heads(self.trainer.model)
        predictor = heads.voting_predictor()
        if predictor.num_classes != self._votes.num_classes:
            raise ValueError(
                f"MODEL.ROI_HEADS.NUM_CLASSES is {predictor.num_classes}, but the training data "
                f"have {self._votes.num_classes} classes"
            )
        predictor.recorder = self._recorder
        self._heads = heads
        if not self._resumed:
            self._journal.set_aside()
        self._correct()

    def before_step(self) -> None:
        """Let proposals vote if the step belongs to a window."""
        self._recorder.active = self._windows.gathers(self.trainer.iter)
        if self._recorder.active and comm.get_world_size() > 1:
            self._gathered = False

    def after_step(self) -> None:
        """Decide at the end of a window; before a checkpoint gather votes and verdicts."""
        done = self.trainer.iter + 1
        if self._recorder.active and not self._heads.numbered:
            raise ValueError(
                "SCN_RELABEL.ENABLED needs gt_annotation_index in the training instances, which "
                "drfpn_da.data.IndexedMapper adds: use it, or a mapper derived from it"
            )
        if self._windows.ends(done):
            self._decide(done)
        elif self._is_saved(done):
            self._gather()
            if self._journal.take_verdicts():
                self._journal.save()
                self._correct()

    def after_train(self) -> None:
        """Disconnect from the model, if training began."""
        if self._heads is not None:
            self._heads.voting_predictor().recorder = None

    def state_dict(self) -> dict[str, Any]:
        """Return votes, streaks and how far the journal is."""
        return {
            "votes": {k: torch.from_numpy(v) for k, v in self._votes.state().items()},
            "votes_of_all": self._gathered,
            "streaks": dict(self._streaks),
            "entries": len(self.store.entries),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint, with the journal as it was then and what was reviewed since.

        Raises:
            ValueError: the journal is damaged, of other data, or shorter than it was.
            FileNotFoundError: it is gone.
        """
        self._resumed = True
        self._streaks = {int(i): tuple(value) for i, value in state["streaks"].items()}  # type: ignore[misc]
        if comm.is_main_process():  # the votes of all processes are with the main one
            self._votes.load_state({k: v.numpy() for k, v in state["votes"].items()})
        if not state.get("votes_of_all", True):
            logger.warning(
                "Relabelling: the checkpoint was saved at a step that is neither a multiple of "
                "SOLVER.CHECKPOINT_PERIOD nor of TEST.EVAL_PERIOD, and has the votes of the main "
                "process alone: the window that had begun is decided with fewer votes"
            )
        self._journal.rewind(state["entries"])

    def _gather(self) -> None:
        if self._gathered:
            return
        self._gathered = True
        states = comm.all_gather(self._votes.state())
        self._votes.clear()
        if comm.is_main_process():
            self._votes.load_state(merge_votes(states, self._votes.num_classes))

    def _is_saved(self, done: int) -> bool:
        periods = (period for period in self._save_periods if period > 0)
        return done == self.trainer.max_iter or any(done % period == 0 for period in periods)

    def _decide(self, done: int) -> None:
        self._journal.take_verdicts()
        self._gathered = True
        votes = merge_votes(comm.all_gather(self._votes.state()), self._votes.num_classes)
        self._votes.clear()
        tally = tally_votes(votes)
        count = self._annotations.distinct
        decisions, self._streaks = self._policy.decide(
            tally,
            self.store.labels(self._annotations, proposed=self._dry_run)[:count],
            self._annotations.classes[:count],
            self.store.locked(self._annotations)[:count],
            self._streaks,
        )
        added = self.store.record(decisions, self._annotations, done, self._dry_run)
        changed = len(self.store.corrections(proposed=self._dry_run))
        self.trainer.storage.put_scalars(
            **{
                "relabel/voted": len(tally.index),
                "relabel/round": len(added),
                "relabel/total": changed,
            },
            smoothing_hint=False,
        )
        logger.info(
            "Relabelling after %d steps: votes on %d of %d annotations, %d %s, %d in all%s",
            done,
            len(tally.index),
            count,
            len(added),
            "proposed" if self._dry_run else "changed",
            changed,
            f" ({self._journal.path})" if added else "",
        )
        self._journal.save()
        self._correct()

    def _correct(self) -> None:
        """Give the model the corrected classes, or none if there is no correction."""
        corrected: Optional[torch.Tensor] = None
        if self.store.corrections():
            device = model_device(self.trainer.model)
            corrected = torch.from_numpy(self.store.labels(self._annotations)).to(device)
        self._heads.corrected_classes = corrected


def require_scn_heads(model: nn.Module) -> CorrectsLabels:
    """Return the model's ROI heads of SCN.

    Raises:
        ValueError: it has none; names it, and what to write.
    """
    heads = find_scn_heads(model)
    if heads is None:
        kind = type(detector_of(model)).__name__
        raise ValueError(
            f"SCN needs ROI heads that weigh labels, which this {kind} does not have: it works "
            "with MODEL.META_ARCHITECTURE (or MODEL.ADAPT.DETECTOR) GeneralizedRCNN or PanopticFPN "
            "and MODEL.ROI_HEADS.NAME SCNROIHeads, SCNCascadeROIHeads or SCNRes5ROIHeads; else "
            "write SCN_RELABEL.ENABLED False"
        )
    return heads


def build_relabel_hooks(cfg: CfgNode, model: nn.Module) -> list[HookBase]:
    """Return the hook that ``SCN_RELABEL`` asks for, if any.

    Raises:
        ValueError: heads of SCN are asked for, but the detector has no ROI heads, or see the hook.
    """
    if cfg.SCN_RELABEL.ENABLED or cfg.MODEL.ROI_HEADS.NAME.startswith("SCN"):
        require_scn_heads(model)
    if cfg.SCN_RELABEL.ENABLED and cfg.MODEL.ADAPT.BASELINE == "oracle":
        raise ValueError(
            "SCN_RELABEL.ENABLED corrects labels of DATASETS.TRAIN, which MODEL.ADAPT.BASELINE "
            "oracle does not train on: write SCN_RELABEL.ENABLED False"
        )
    return [SCNRelabelHook.from_config(cfg)] if cfg.SCN_RELABEL.ENABLED else []


def _policy_from_config(cfg: CfgNode, names: tuple[str, ...]) -> RelabelPolicy:
    node = cfg.SCN_RELABEL

    def number(key: str, name: str) -> int:
        if name not in names:
            raise ValueError(f"SCN_RELABEL.{key} has '{name}'; classes are: {', '.join(names)}")
        return names.index(name)

    return RelabelPolicy(
        margin=node.MARGIN_2,
        beta=cfg.MODEL.ROI_BOX_HEAD.SCN.BETA,
        **arguments(node, "lead_share", "prior_power", "min_votes", "min_agree", "patience"),
        **arguments(node, "scope", "rank_by", "max_fraction", "max_total", "max_class_loss"),
        classes=frozenset(number("CLASSES", name) for name in node.CLASSES),
        forbidden=frozenset(
            (number("FORBID", old), number("FORBID", new)) for old, new in node.FORBID
        ),
    )
