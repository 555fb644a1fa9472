"""Checkpoints: safetensors and a readable JSON, written so that a kill at any moment loses nothing.

    RUN/last.json                  what is needed to go on; names its weights
    RUN/last-000120.safetensors    network, average, optimiser and replay after round 120
    RUN/best.json, best-....safetensors    the averaged weights to take: `Training.evaluate`
    RUN/teacher.json, teacher-....safetensors    a run's network that is learnt from, where there is
                                   one (an exported one is RUN/teacher.onnx)

The tensors are written first, under a new name; renaming the JSON onto the old one is the moment
the checkpoint exists. Only then are the older tensors removed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save
from torch import nn

from azx.runtime.errors import AzxError, RunError
from azx.runtime.files import exists, read_bytes, write_bytes, write_json
from azx.runtime.variant import variant_named
from azx.trainer.config import TrainConfig, config_from_dict
from azx.trainer.learner import Learner
from azx.trainer.network import PolicyValueNetwork
from azx.trainer.samples import Replay

Tensors = dict[str, NDArray[Any]]

FORMAT = 1

#: What to do with a run that lacks something.
OTHER_VERSION = (
    "the run is of another version of azx, or broken; a new run can begin with its weights "
    "(--from, and --set seed=... for other games)"
)


class Info(dict[str, Any]):
    """What was known at a checkpoint; to ask for what it does not say is a `RunError`."""

    def __init__(self, path: Path, known: dict[str, Any]) -> None:
        super().__init__(known)
        self.path = path

    def __missing__(self, name: str) -> Any:
        raise RunError(f"{self.path} lacks {name!r}: {OTHER_VERSION}")


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint as read: its config, what was known then, and its tensors by name."""

    path: Path
    config: TrainConfig
    info: Info
    tensors: Tensors


@dataclass(frozen=True)
class LoadedNetwork:
    """A trained network (the averaged weights, in eval mode) and where it comes from."""

    network: PolicyValueNetwork
    config: TrainConfig
    info: dict[str, Any]


def _numbers(module: nn.Module, prefix: str) -> Tensors:
    return {f"{prefix}.{k}": v.detach().cpu().numpy() for k, v in module.state_dict().items()}


def _part(tensors: Tensors, prefix: str) -> Tensors:
    start = prefix + "."
    return {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}


def _write(
    run: Path, kind: str, config: TrainConfig, info: dict[str, Any], tensors: Tensors
) -> None:
    weights = run / f"{kind}-{info['round']:06d}.safetensors"
    write_bytes(weights, save({k: np.asarray(v, order="C") for k, v in tensors.items()}))
    write_json(
        run / f"{kind}.json",
        {"format": FORMAT, "weights": weights.name, "info": info, "config": config.to_json()},
    )
    for old in run.glob(f"{kind}-*.safetensors"):
        # A copy under another name is somebody's own.
        if old != weights and old.stem.removeprefix(f"{kind}-").isdecimal():
            old.unlink()
    for torn in run.glob(f".{kind}[-.]*.tmp"):  # of a save that was killed
        torn.unlink()


def save_last(
    run: Path, config: TrainConfig, info: dict[str, Any], learner: Learner, replay: Replay
) -> None:
    """Write all that an unbroken run would have in memory."""
    of_steps = {
        f"{kind}.{name}.{field}": value.detach().cpu().numpy()
        for kind, optimizer in learner.optimizers.items()
        for name, parameter in _parameters_of(optimizer, learner)
        for field, value in optimizer.state.get(parameter, {}).items()
    }
    remembered = {f"replay.{name}": array for name, array in replay.to_arrays().items()}
    tensors = {
        **_numbers(learner.network, "network"),
        **_numbers(learner.average, "average"),
        **of_steps,
        **remembered,
    }
    _write(run, "last", config, info, tensors)


def save_best(run: Path, config: TrainConfig, info: dict[str, Any], network: nn.Module) -> None:
    """Write the averaged weights alone."""
    _write(run, "best", config, info, _numbers(network, "average"))


def save_teacher(run: Path, teacher: LoadedNetwork) -> None:
    """Write the network that the run learns from as `teacher.json`, for `load_network`."""
    _write(run, "teacher", teacher.config, teacher.info, _numbers(teacher.network, "average"))


def read_checkpoint(path: Path) -> Checkpoint:
    """Read `RUN/last.json` or `RUN/best.json`; `RunError` says what is missing or broken."""
    with _reading(path):
        data, weights = _read_whole(path)
        config = config_from_dict(data["config"], str(path))
        return Checkpoint(path, config, Info(path, data["info"]), load(weights))


def _read_whole(path: Path) -> tuple[dict[str, Any], bytes]:
    """The JSON and the weights that it names, read anew where a save came between the two."""
    while True:
        data = _read_json(path)
        try:
            return data, read_bytes(path.parent / data["weights"], RunError)
        except RunError:
            if _read_json(path)["weights"] == data["weights"]:
                raise


def _read_json(path: Path) -> dict[str, Any]:
    """What a checkpoint's JSON says."""
    data: dict[str, Any] = json.loads(read_bytes(path, RunError))
    if data["format"] != FORMAT:
        raise RunError(f"{path} has checkpoint format {data['format']}, expected {FORMAT}")
    return data


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """`RunError`, with the file's name, for whatever is wrong with what is read."""
    try:
        yield
    except RunError:
        raise
    except (ValueError, KeyError, TypeError, SafetensorError, AzxError) as error:
        raise RunError(f"{path} is not a readable checkpoint: {error}") from error


def restore(checkpoint: Checkpoint, learner: Learner, replay: Replay) -> None:
    """Put `learner` and `replay` back to where `checkpoint` left them."""
    tensors = checkpoint.tensors
    _load(checkpoint.path, learner.network, _part(tensors, "network"))
    _load(checkpoint.path, learner.average, _part(tensors, "average"))
    if checkpoint.info["round"] > 0:
        for kind, optimizer in learner.optimizers.items():
            _restore_steps(checkpoint.path, optimizer, _part(tensors, kind), learner)
    try:
        replay.from_arrays(_part(tensors, "replay"))
    except KeyError as error:
        raise RunError(f"{checkpoint.path} lacks {error} of games: {OTHER_VERSION}") from None


def _parameters_of(
    optimizer: torch.optim.Optimizer, learner: Learner
) -> Iterator[tuple[str, nn.Parameter]]:
    """The parameters that `optimizer` steps, with their names in the network."""
    stepped = {parameter for group in optimizer.param_groups for parameter in group["params"]}
    for name, parameter in learner.network.named_parameters():
        if parameter in stepped:
            yield name, parameter


def _restore_steps(
    path: Path, optimizer: torch.optim.Optimizer, tensors: Tensors, learner: Learner
) -> None:
    """Give `optimizer` back what it remembered of each parameter, `tensors` by name and field."""
    for name, parameter in _parameters_of(optimizer, learner):
        remembered = {
            field: torch.from_numpy(value.copy()) for field, value in _part(tensors, name).items()
        }
        fits = [v.shape in ((), parameter.shape) for v in remembered.values()]
        if not fits or not all(fits):
            raise RunError(
                f"{path} does not hold what the last steps remembered of {name}: {OTHER_VERSION}"
            )
        optimizer.state[parameter] = remembered


def _load(path: Path, module: nn.Module, tensors: Tensors) -> None:
    try:
        module.load_state_dict({k: torch.from_numpy(v.copy()) for k, v in tensors.items()})
    except RuntimeError as error:
        raise RunError(
            f"{path}: its weights do not fit the network of its config: {error}"
        ) from error


def load_network(path: Path) -> LoadedNetwork:
    """The network of a run (its best weights, else the last) or of one checkpoint's JSON."""
    path = Path(path)
    if path.suffix == ".onnx":
        raise RunError(
            f"{path} is an exported file, expected a run's folder or a checkpoint's .json, with "
            "all that training knows: give the run that it came from"
        )
    if not exists(path):
        raise RunError(f"{path}: no such run or checkpoint; give a run's folder or a .json in it")
    if path.is_dir():
        found = [path / name for name in ("best.json", "last.json") if (path / name).exists()]
        if not found:
            raise RunError(f"{path} holds no checkpoint: expected best.json or last.json in it")
        path = found[0]
    checkpoint = read_checkpoint(path)
    network = PolicyValueNetwork(
        variant_named(checkpoint.config.variant), checkpoint.config.network
    )
    _load(path, network, _part(checkpoint.tensors, "average"))
    # What the run needs to go on says nothing of the network.
    info = {name: value for name, value in checkpoint.info.items() if name != "history"}
    return LoadedNetwork(network.eval(), checkpoint.config, info)
