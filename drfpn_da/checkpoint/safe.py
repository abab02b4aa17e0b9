"""A checkpointer that no kill and no full disk harms, and that runs no code found in a file."""

from __future__ import annotations

import errno
import io
import os
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from torch import nn

from ..files import write_whole
from .fit import Fit, judge, strip_prefix

LAST = "last_checkpoint"
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


class CheckpointError(ValueError):
    """A checkpoint that cannot be read, or that holds more than weights and numbers."""


class SafeCheckpointer(DetectionCheckpointer):
    """detectron2's checkpointer with five differences.

    - Files are replaced whole: a run that is killed while it saves resumes from the checkpoint
      before.
    - Only tensors, arrays, numbers, words and their containers are read: a file from elsewhere
      cannot run code.
    - Errors name the file and what to do. What is in ``save_dir`` is checked by its checksums.
    - Names may have a prefix, as teacher-student codes write them (see :mod:`.fit`), and
      ``.safetensors`` are read.
    - A file of which no tensor fits is refused, and a run of which a tensor has another shape is
      not resumed.

    Attributes:
        fit: of what was loaded last; None: nothing was.
    """

    fit: Optional[Fit] = None
    _path = ""
    _resuming = False

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
            CheckpointError: it is damaged, holds objects of other kinds, or nothing of it fits.
        """
        self.fit, self._path = None, path
        try:
            return super().load(path, *args, **kwargs)
        finally:
            self._parsed_url_during_load = None  # else a failed load forbids the next

    def resume_or_load(self, path: str, *, resume: bool = True) -> dict[str, Any]:
        """Continue from the last checkpoint, if asked and there is one; else load ``path``.

        Raises:
            CheckpointError: as :meth:`load`; or the last checkpoint is gone.
        """
        if resume and self.has_checkpoint():
            last = self.get_checkpoint_file()
            if not self.path_manager.isfile(last):
                raise CheckpointError(
                    f"{os.path.join(self.save_dir, LAST)} names '{os.path.basename(last)}', which "
                    f"is not there: {self._mend(self.save_dir, last)}"
                )
            self._resuming = True
        try:
            return super().resume_or_load(path, resume=resume)
        finally:
            self._resuming = False

    def require_all(self) -> None:
        """Refuse to predict with a model of which a part was not loaded.

        Raises:
            CheckpointError: names a tensor that does not fit the config, or that is not there.
        """
        refusal = self.fit.misfit() if self.fit else None
        if refusal:
            raise CheckpointError(f"predictions of {self._path} would be random: {refusal}")
        if self.fit is None:
            self.logger.warning("no weights were loaded: predictions are those of a random model")

    def _load_model(self, checkpoint: Any) -> Any:
        state = checkpoint["model"]
        if not checkpoint.get("matching_heuristics", False):
            prefix, checkpoint["model"] = strip_prefix(state, self.model.state_dict())
            if prefix:
                self.logger.info("names in %s begin with '%s': taken off", self._path, prefix)
        if self._resuming:
            self._refuse_other_shapes(checkpoint["model"])
        loaded = super()._load_model(checkpoint)
        self.fit = judge(self.model, loaded, state)
        if self.fit.nothing:
            raise CheckpointError(
                f"nothing in checkpoint {self._path} fits the model: {self.fit.misfit()}"
            )
        return loaded

    def _refuse_other_shapes(self, state: Mapping[str, Any]) -> None:
        for name, value in self.model.state_dict().items():
            if name in state and tuple(state[name].shape) != tuple(value.shape):
                raise CheckpointError(
                    f"cannot resume {self.save_dir}: {name} has shape {list(state[name].shape)} in "
                    f"its last checkpoint and {list(value.shape)} now. Resume with the config of "
                    f"that run, or train anew in another folder with MODEL.WEIGHTS "
                    f"{self.get_checkpoint_file()}"
                )

    def _load_file(self, filename: str) -> dict[str, Any]:
        try:
            if filename.endswith(".safetensors"):
                return self._load_safetensors(filename)
            if filename.endswith(".pkl"):
                _refuse_code(filename)
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

    def _load_safetensors(self, filename: str) -> dict[str, Any]:
        try:
            from safetensors import SafetensorError
            from safetensors.torch import load_file
        except ImportError as error:
            raise CheckpointError(f"to read {filename}: pip install safetensors") from error
        try:
            state = load_file(filename)
        except SafetensorError as error:
            raise self._damaged(filename, error) from error
        url = self._parsed_url_during_load
        heuristics = url is not None and "matching_heuristics=True" in url.query
        return {"model": state, "matching_heuristics": heuristics}

    def _torch_load(self, f: str) -> Any:
        # Stated, not left to torch, whose default was otherwise before 2.6.
        content = torch.load(f, map_location="cpu", weights_only=True)
        # Where other trainers keep the weights.
        if isinstance(content.get("state_dict"), dict) and "model" not in content:
            return {"model": content["state_dict"]}
        return content

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


def _verify_checksums(filename: str) -> None:
    if not zipfile.is_zipfile(filename):
        return
    with zipfile.ZipFile(filename) as archive:
        bad = archive.testzip()
    if bad is not None:
        raise zipfile.BadZipFile(f"{bad} does not fit its checksum")


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def load_model(cfg: CfgNode, weights: str | None = None) -> nn.Module:
    """Build a config's model with its weights, in evaluation mode.

    Args:
        cfg: the whole config.
        weights: a checkpoint in place of ``MODEL.WEIGHTS``; "": none.

    Raises:
        CheckpointError: the checkpoint cannot be read, or leaves a part of the model at random.
    """
    model = build_model(cfg).eval()
    checkpointer = SafeCheckpointer(model)
    checkpointer.load(cfg.MODEL.WEIGHTS if weights is None else weights)
    checkpointer.require_all()
    return model
