"""What if? One thing is changed in a copy, and what the outputs do then settles a suspicion."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn

from azx.export.activations import Trace, trace
from azx.export.inputs import Batch
from azx.export.isolation import separate_copy
from azx.export.liveness import Loss, answer, backward, training_mode, which_vary
from azx.export.outputs import by_row, ordinary
from azx.export.statistics import ParameterFacts
from azx.runtime.errors import UsageError

#: An answer for one row may move by this share of the largest when other rows change: rounding.
SAME = 1e-4

#: A spread is suspect outside of this many times what the fan-in asks for ...
USUAL_SPREAD = (0.05, 8.0)
#: ... and matters where putting it right changes the spread of an output by this factor.
MATTERS = 3.0

#: How often other rows are made up to look for modules that run for some rows alone.
OTHER_ROWS = 8

#: So many suspect spreads are tried; each costs a forward.
SPREADS_TRIED = 12


@contextmanager
def _asking(question: str, untold: dict[str, str]) -> Iterator[None]:
    """Put `question` into `untold`, with why, where forward refuses the rows: nobody gave those."""
    try:
        yield
    except UsageError as error:
        untold.setdefault(question, str(error))


def what_depends(
    module: nn.Module, batch: Batch, untold: dict[str, str]
) -> dict[str, dict[str, bool]]:
    """For each input that may be changed: which outputs are others then.

    The change is to give each row what another row had; an input whose rows are all the same is
    left out, and so is one without rows. What forward refuses goes into `untold`.
    """
    before = answer(module, batch)
    matters = {}
    for name, axis in batch.axes.items():
        if axis is None or not which_vary({name: batch.tensors[name]}, _only(batch, name)):
            continue
        changed = {**batch.tensors, name: batch.tensors[name].roll(1, dims=axis)}
        with _asking(f"whether any output changes with input {name}", untold):
            after = answer(module, replace(batch, tensors=changed))
            matters[name] = {n: not torch.equal(after[n], t) for n, t in before.items()}
    return matters


def _only(batch: Batch, name: str) -> Batch:
    return Batch({name: batch.tensors[name]}, {name: batch.axes[name]})


def random_outputs(module: nn.Module, batch: Batch) -> list[str]:
    """Outputs that are others when the same rows are asked about again, in eval mode."""
    once, again = answer(module, batch), answer(module, batch)
    return [
        n for n, t in once.items() if not torch.equal(t.nan_to_num(0.0), again[n].nan_to_num(0.0))
    ]


def coupled_outputs(module: nn.Module, batch: Batch, untold: dict[str, str]) -> list[str]:
    """Outputs of which a row changes, in eval mode, when the rows around it do.

    The first, the middle and the last row stay in turn, while all others are drawn anew: a sum over
    the rows before does not show in the first. What forward refuses goes into `untold`.
    """
    generator = torch.Generator().manual_seed(0)
    before = answer(module, batch)
    found = []
    for kept in sorted({0, batch.rows // 2, batch.rows - 1}) if batch.rows > 1 else []:
        order = torch.randint(batch.rows, (batch.rows,), generator=generator)
        order[kept] = kept
        with _asking("whether a row's answer changes with the other rows", untold):
            after = answer(module, batch.take(order))
            found += [n for n, t in before.items() if _row_moves(t, after[n], kept, batch)]
    return list(dict.fromkeys(found))


def _row_moves(before: Tensor, after: Tensor, row: int, batch: Batch) -> bool:
    """Whether one row of an output is another one, by more than rounding."""
    rows = by_row(before, batch.rows, batch.main_axis)
    others = by_row(after, batch.rows, batch.main_axis)
    if rows is None or others is None or rows.shape != others.shape:
        return False
    usual = rows[ordinary(rows)]
    largest = float(usual.abs().max()) if usual.numel() else 0.0
    apart = (rows[row] - others[row]).abs().nan_to_num(0.0)
    return float(apart.max()) > SAME * largest


def reached_by_other_rows(
    module: nn.Module, batch: Batch, paths: set[str], untold: dict[str, str]
) -> set[str]:
    """Which of these modules do not run for `batch`, and do for other rows.

    The others are made of the same numbers: every entry has its own exchange of rows, and for real
    numbers its own sign. An expert that no row was sent to is found so, and then speaks for the
    others of its list; a forgotten layer is not. What forward refuses goes into `untold`.
    """
    ran: set[str] = set()
    handles = [
        module.get_submodule(path).register_forward_pre_hook(lambda *_, at=path: ran.add(at))
        for path in paths
        if path
    ]
    generator = torch.Generator().manual_seed(0)
    try:
        if paths:
            answer(module, batch)
        silent = paths - ran
        for _ in range(OTHER_ROWS if silent else 0):
            tensors = {n: _shuffled(t, batch.axes[n], generator) for n, t in batch.tensors.items()}
            with _asking("which parts other rows would be sent through", untold):
                answer(module, replace(batch, tensors=tensors))
    finally:
        for handle in handles:
            handle.remove()
    lists = {path for path, part in module.named_modules() if isinstance(part, nn.ModuleList)}
    routed = {at for path in silent & ran for at in lists if path.startswith(f"{at}.")}
    return {p for p in silent if p in ran or any(p.startswith(f"{at}.") for at in routed)}


def _shuffled(tensor: Tensor, axis: int | None, generator: torch.Generator) -> Tensor:
    if axis is None:
        return tensor
    places = torch.rand(tensor.shape, generator=generator).argsort(dim=axis).to(tensor.device)
    made = tensor.gather(axis, places)
    if made.is_floating_point():
        signs = torch.randint(2, tensor.shape, generator=generator).to(tensor.device)
        made = made * (2 * signs - 1).to(made.dtype)
    return made


def woken_by_filling(
    module: nn.Module, batch: Batch, loss: Loss, zeros: set[str], dead: set[str]
) -> set[str]:
    """Which of the `dead` parameters get a gradient once the parameters `zeros` are no zeros."""
    copy = separate_copy(module)
    training_mode(copy, batch)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for path in zeros:
            parameter = copy.get_parameter(path)
            filling = 1.0 + 0.1 * torch.randn(parameter.shape, generator=generator)
            parameter.copy_(filling)
    trainable = {path: p for path, p in copy.named_parameters() if p.requires_grad}
    backward(copy, batch, loss, trainable)
    gradients = {path: trainable[path].grad for path in dead}
    return {p for p, g in gradients.items() if g is not None and bool(g.to_dense().any())}


def blocking_norms(module: nn.Module, batch: Batch, found: Trace) -> list[str]:
    """Norms of no gain that nothing leads around: without them a constant output would vary."""
    paths = [layer.path for layer in found.layers if layer.gain == 0.0]
    if not paths:
        return []
    constant = {n for n, varied in which_vary(answer(module, batch), batch).items() if not varied}
    blocking = []
    for path in paths:
        with _passed_by(module, path):
            varied = which_vary(answer(module, batch), batch)
        if any(varied.get(name) for name in constant):
            blocking.append(path)
    return blocking


@contextmanager
def _passed_by(module: nn.Module, path: str) -> Iterator[None]:
    """Let the layer at `path` put out what it is given."""

    def hook(layer: nn.Module, given: tuple[Tensor, ...], result: Tensor) -> Tensor:
        return given[0] if given and given[0].shape == result.shape else result

    handle = module.get_submodule(path).register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def spreads_that_matter(
    module: nn.Module, batch: Batch, facts: list[ParameterFacts]
) -> dict[str, float]:
    """Weights far from what their fan-in asks for, where that shows: path to the ratio of the two.

    The weight is scaled to the usual spread for one forward. A norm behind it makes that nothing,
    and so does a path around it; a small last layer is a quiet start, and no fault.
    """
    low, high = USUAL_SPREAD
    suspects = []
    for f in facts:
        if f.expected_std is None or not f.std or f.entries < 2:
            continue
        ratio = f.std / f.expected_std
        if not low <= ratio <= high:
            suspects.append((f, ratio))
    if not suspects:
        return {}
    few = batch.take(torch.arange(min(batch.rows, 8)))
    before, layers = _spreads(answer(module, few), few), _layer_spreads(module, few)
    matter = {}
    for f, ratio in suspects[:SPREADS_TRIED]:
        parameter = module.get_parameter(f.path)
        kept = parameter.detach().clone()
        with torch.no_grad():
            parameter.mul_(1.0 / ratio)
            after, now = _spreads(answer(module, few), few), _layer_spreads(module, few)
            parameter.copy_(kept)
        is_last = all(now[path] == layers[path] for path in layers if path != f.owner_path)
        if is_last and ratio < low:
            continue
        woken = any(before[n] == 0 < after[n] for n in before)
        factors = [after[n] / before[n] for n in before if before[n] > 0 and after[n] > 0]
        if woken or any(not 1 / MATTERS < factor < MATTERS for factor in factors):
            matter[f.path] = ratio
    return matter


def _layer_spreads(module: nn.Module, batch: Batch) -> dict[str, float]:
    """Of every layer with parameters, what its output spreads by."""
    with_parameters = {
        path for path, layer in module.named_modules() if any(True for _ in layer.parameters())
    }
    layers = trace(module, batch).layers
    return {layer.path: layer.spread for layer in layers if layer.path in with_parameters}


def _spreads(outputs: dict[str, Tensor], batch: Batch) -> dict[str, float]:
    """By how much the ordinary entries of each output differ between rows (RMS of deviations)."""
    found = {}
    for name, tensor in outputs.items():
        rows = by_row(tensor, batch.rows, batch.main_axis)
        if rows is not None:
            usual = rows.masked_fill(~ordinary(rows), 0.0)
            found[name] = float((usual - usual.mean(dim=0)).square().mean().sqrt())
    return found
