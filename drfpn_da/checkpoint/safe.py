"""A checkpointer that no kill and no full disk harms, and that runs no code found in a file."""

from __future__ import annotations

import errno
import io
import os
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from torch import nn

from ..files import write_whole
from .fit import CheckpointError, Fit, pop_hidden_misfits, tensor_shapes
from .formats import prefixes_of, read_weights, without_prefix

LAST = "last_checkpoint"
_ANEW = (
    "resume with the config that it began with, or train anew in another OUTPUT_DIR from "
    "MODEL.WEIGHTS, without --resume"
)
#: All that a pickle of arrays names; anything else could run code.
_HARMLESS = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    *((f"numpy.{core}.multiarray", "_reconstruct") for core in ("core", "_core")),
    *((f"numpy.{core}.multiarray", "scalar") for core in ("core", "_core")),
    *((f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")),
    ("collections", "OrderedDict"),
    ("_codecs", "encode"),
}


class SafeCheckpointer(DetectionCheckpointer):
    """detectron2's checkpointer with five differences.

    - Files are replaced whole: a run that is killed while it saves resumes from the checkpoint
      before.
    - Only tensors, arrays, numbers, words and their containers are read: a file from elsewhere
      cannot run code.
    - Errors name the file and what to do. What is in ``save_dir`` is checked by its checksums.
    - A checkpoint of which nothing fits the model is refused, and so is one to resume from with a
      tensor of another shape. Other tensors that do not fit are left out with a warning, so that
      training may start from a model with other classes.
    - ``.safetensors`` files are read; prefixes of names such as "module." are taken off.
    """

    _resumes = False

    def save(self, name: str, **kwargs: Any) -> None:
        """Write model, checkpointables and ``kwargs`` to ``save_dir/<name>.pth``.

        Raises:
            OSError: the disk is full, say; the checkpoints from before are untouched.
        """
        if "://" in self.save_dir:  # another file system: replacing is up to its handler
            super().save(name, **kwargs)
            return
        if not self.save_dir or not self.save_to_disk:
            return
        parts = {key: part.state_dict() for key, part in self.checkpointables.items()}
        content = {"model": self.model.state_dict(), **parts, **kwargs}
        target = Path(self.save_dir, f"{name}.pth")
        self.logger.info("Saving checkpoint to %s", target)
        write_whole(target, lambda file: torch.save(content, file))
        self.tag_last_checkpoint(target.name)

    def tag_last_checkpoint(self, last_filename_basename: str) -> None:
        """Note which checkpoint is to be resumed from."""
        if "://" in self.save_dir:
            super().tag_last_checkpoint(last_filename_basename)
            return
        text = last_filename_basename.encode()
        write_whole(Path(self.save_dir, LAST), lambda file: file.write(text))

    def load(self, path: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Load a checkpoint, as detectron2 does.

        Raises:
            CheckpointError: it is not there, is damaged, holds objects of other kinds, or does not
                fit the model.
        """
        file = path.partition("?")[0]  # what follows says how its names are matched
        if file and "://" not in file and not os.path.isfile(file):
            raise CheckpointError(
                f'checkpoint {file} does not exist: write the path of a file of weights, or "" '
                "to start at random, in MODEL.WEIGHTS (LazyConfig: train.init_checkpoint)"
            )
        self._source = path
        try:
            return super().load(path, *args, **kwargs)
        finally:
            self._parsed_url_during_load = None  # else a failed load forbids the next

    def resume_or_load(self, path: str, *, resume: bool = True) -> dict[str, Any]:
        """Continue from the last checkpoint, if asked and there is one; else load ``path``.

        Raises:
            CheckpointError: as :meth:`load`; or the last checkpoint is gone, or of another model.
        """
        self._resumes = resume and self.has_checkpoint()
        if self._resumes:
            last = self.get_checkpoint_file()
            if not self.path_manager.isfile(last):
                raise CheckpointError(
                    f"{os.path.join(self.save_dir, LAST)} names '{os.path.basename(last)}', which "
                    f"is not there: {self._mend(self.save_dir, last)}"
                )
        try:
            return super().resume_or_load(path, resume=resume)
        finally:
            self._resumes = False

    def _load_model(self, checkpoint: dict[str, Any]) -> Any:
        """Load the weights as far as they fit; see the class for what is refused."""
        self._refuse_other_values(checkpoint["model"])
        prefixes = prefixes_of(checkpoint["model"])[1:]
        checkpoint["model"] = without_prefix(
            checkpoint["model"],
            tensor_shapes(self.model),
            self._source,
            ends=checkpoint.get("matching_heuristics", False),
        )
        keys = list(checkpoint["model"])
        hidden = pop_hidden_misfits(self.model, checkpoint["model"])
        incompatible = super()._load_model(checkpoint)
        incompatible.incorrect_shapes.extend(hidden)
        fit = Fit.of(self.model, incompatible, self._source)
        fit.refuse_nothing(keys, prefixes)
        self._check(fit)
        return incompatible

    def _refuse_other_values(self, state: Mapping[str, Any]) -> None:
        others = {
            key: type(value).__name__
            for key, value in state.items()
            if not isinstance(value, (torch.Tensor, np.ndarray))
        }
        if others:
            listed = ", ".join(f"'{key}' (a {kind})" for key, kind in [*others.items()][:4])
            raise CheckpointError(
                f"checkpoint {self._source} has {listed} where weights by name belong: write the "
                "weights alone into a new file with torch.save({'model': weights}, 'new.pth')"
            )

    def _check(self, fit: Fit) -> None:
        if self._resumes:
            fit.refuse_mismatch("", f"The run cannot go on with another model: {_ANEW}")

    def _load_file(self, filename: str) -> dict[str, Any]:
        try:
            if filename.endswith(".pkl"):
                _refuse_code(filename)
            elif filename.endswith(".pyth"):
                # Not by detectron2, which leaves it to torch whether code may run.
                return _as_pycls(filename)
            elif self._is_own(filename):
                _verify_checksums(filename)
            return super()._load_file(filename)
        except pickle.UnpicklingError as error:
            if isinstance(error, _Refused) or zipfile.is_zipfile(filename):
                raise CheckpointError(
                    f"checkpoint {filename} holds objects other than tensors and numbers, which "
                    f"could run code when read: {_first_line(error)}. If you trust its origin, "
                    "write its weights alone into a new file: torch.save({'model': "
                    f"torch.load({filename!r}, weights_only=False)['model']}}, 'new.pth')"
                ) from error
            raise self._damaged(filename, error) from error
        except (RuntimeError, EOFError, zipfile.BadZipFile, KeyError, IndexError) as error:
            raise self._damaged(filename, error) from error
        except OSError as error:
            if error.errno != errno.EINVAL:  # which torch makes of a zip file that is cut short
                raise
            raise self._damaged(filename, error) from error

    def _torch_load(self, f: str) -> Any:
        return read_weights(f)

    def _is_own(self, filename: str) -> bool:
        return bool(self.save_dir) and Path(filename).resolve().parent == (
            Path(self.save_dir).resolve()
        )

    def _damaged(self, filename: str, error: Exception) -> CheckpointError:
        return CheckpointError(
            f"checkpoint {filename} ({os.path.getsize(filename)} bytes) is damaged or cut short "
            f"({_first_line(error)}): {self._mend(os.path.dirname(filename), filename)}"
        )

    def _mend(self, folder: str, filename: str) -> str:
        """What to do about a checkpoint that cannot be used."""
        if not self.save_dir or Path(folder).resolve() != Path(self.save_dir).resolve():
            return "get it anew, or name another in MODEL.WEIGHTS"
        found = Path(self.save_dir).glob("model_*.pth")
        others = sorted(path.name for path in found if path != Path(filename))
        if not others:
            return f"there is no other in {self.save_dir}: start again in another folder"
        return (
            f"to go on from another one ({', '.join(others[-3:])}), write its name into "
            f"{os.path.join(self.save_dir, LAST)} and resume"
        )


class _Refused(pickle.UnpicklingError):
    pass


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _HARMLESS:
            raise _Refused(f"it names {module}.{name}")
        return super().find_class(module, name)


def _refuse_code(filename: str) -> None:
    """Read a pickle with nothing but arrays allowed; what passes may be read by anyone."""
    with open(filename, "rb") as file:
        content = file.read()
    try:
        _ArraysOnly(io.BytesIO(content), encoding="latin1").load()
    except (ValueError, AttributeError, ImportError, TypeError) as error:
        raise EOFError(str(error)) from error


def _as_pycls(filename: str) -> dict[str, Any]:
    # Names need only match by their ends, as detectron2 reads these files.
    content = read_weights(filename)
    state = content.get("model_state", content)
    state = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    return {"model": state, "__author__": "pycls", "matching_heuristics": True}


def _verify_checksums(filename: str) -> None:
    if not zipfile.is_zipfile(filename):
        return
    with zipfile.ZipFile(filename) as archive:
        bad = archive.testzip()
    if bad is not None:
        raise zipfile.BadZipFile(f"{bad} does not fit its checksum")


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


class PredictionCheckpointer(SafeCheckpointer):
    """A checkpointer for models that predict with what is loaded, without further training.

    A tensor of another shape, or one that the file lacks, would predict at random: both are
    refused. A warning tells of a model without any file.

    Args:
        model: in which ``training_parts`` may list children that predictions do not need.
        save_dir: folder to resume from.
        part: beginning of the names that are used, "backbone." where heads do not run; "": all.
        checkpointables: as for detectron2's checkpointer.
    """

    def __init__(
        self, model: nn.Module, save_dir: str = "", *, part: str = "", **checkpointables: Any
    ) -> None:
        super().__init__(model, save_dir, **checkpointables)
        self._part = part

    def load(self, path: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Load a checkpoint; see the class for what is refused."""
        if not path:
            self.logger.warning("No weights are given: predictions are those of a random model")
        return super().load(path, *args, **kwargs)

    def _check(self, fit: Fit) -> None:
        fit.refuse_mismatch(
            self._part,
            "It would predict with random weights there: give the config that it was trained "
            "with, number of classes included, or a checkpoint of this config",
        )
        fit.refuse_random_parts(self.model, self._part)


def load_model(cfg: CfgNode, weights: str | None = None, part: str = "") -> nn.Module:
    """Build a config's model with its weights, in evaluation mode.

    Args:
        cfg: the whole config.
        weights: a checkpoint in place of ``MODEL.WEIGHTS``; "": none.
        part: see :class:`PredictionCheckpointer`.

    Raises:
        CheckpointError: the checkpoint cannot be read, or does not fit the model.
    """
    model = build_model(cfg).eval()
    PredictionCheckpointer(model, part=part).load(cfg.MODEL.WEIGHTS if weights is None else weights)
    return model
