"""What an audit tells beside its verdict, and that it leaves no trace."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from corpus import HEALTHY, SICK, SUSPECT
from corpus.parts import Lambda, mlp
from torch import Tensor, nn
from training_testing import network_of, zero_every_vector

from azx.export import Audit, audit
from azx.export.inputs import drawn
from azx.export.learning import Learning
from azx.export.outputs import named_outputs, varies
from azx.export.positions import game_positions
from azx.runtime.errors import CheckFailed, UsageError
from azx.runtime.variant import MINI, STANDARD, Variant
from azx.trainer.initialise import initialise
from azx.trainer.network import NetworkConfig, PolicyValueNetwork

ROWS = torch.randn(16, 8, generator=torch.Generator().manual_seed(5))


def seeded(name: str) -> nn.Module:
    return {**HEALTHY, **SICK, **SUSPECT}[name].module()


def failures(audited: Audit) -> dict[str, str]:
    return {f.path: f.what for f in audited.findings if f.severity == "fail"}


def verdicts(audited: Audit) -> dict[str, str]:
    return {s.path: s.verdict for s in audited.suspicions}


TRUNKS = [(trunk, variant) for trunk in ("dense", "conv") for variant in (STANDARD, MINI)]


@pytest.mark.parametrize(
    ("trunk", "variant"), TRUNKS, ids=lambda value: getattr(value, "name", value)
)
def test_the_bug_this_project_comes_from(trunk: str, variant: Variant) -> None:
    """Every one-dimensional tensor set to 0, meaning the biases."""
    made = PolicyValueNetwork(variant, NetworkConfig(trunk, width=32, blocks=1, groups=8))
    initialise(made, seed=1, heads=made.heads)
    boards = torch.from_numpy(game_positions(variant, games=3).boards)
    assert audit(made, boards).findings == []
    zero_every_vector(made)
    found = audit(made, boards)
    assert {"trunk.blocks.0.norm1.weight", "trunk.blocks.0.norm2.weight"} <= set(failures(found))
    assert all("GroupNorm" in what for path, what in failures(found).items() if "norm" in path)
    with pytest.raises(CheckFailed, match="set a norm's weight to 1"):
        found.require()


def test_lines_wake_up_from_that_bug() -> None:
    """Their norms stand before a branch and before the heads, never two zeros in series."""
    made = network_of(STANDARD, "lines")
    boards = torch.from_numpy(game_positions(STANDARD, games=3).boards)
    assert audit(made, boards).findings == []
    zero_every_vector(made)
    found = audit(made, boards)
    assert failures(found) == {}
    assert {f.path for f in found.findings if f.severity == "warn"} == {
        f"trunk.norms.{what}" for what in ("cells", "lines", "board")
    }
    slept = {f"wakes up after {steps} steps" for steps in (1, 2)}
    assert set(verdicts(found).values()) <= slept | {"alive"}


def test_suspicions_are_settled_by_what_happens() -> None:
    head = audit(seeded("zero head"), ROWS)
    assert [head.wakes(f.path) for f in head.parameters] == [1, 1, 0, 0]
    assert verdicts(head) == {
        "0.weight": "wakes up after 1 steps",
        "0.bias": "wakes up after 1 steps",
        "2.weight": "alive",
    }
    assert verdicts(audit(seeded("frozen stem"), ROWS)) == {"0.weight": "frozen"}


def test_what_is_meant_is_declared_with_its_reason() -> None:
    module, batch = seeded("zero norm in a trunk"), ROWS
    assert [f.path for f in audit(module, batch).problems(strict=True)] == ["1"]
    declared = audit(module, batch, meant={"1": "opens during warm-up"})
    assert declared.problems(strict=True) == []
    assert verdicts(declared)["1"] == "meant: opens during warm-up"
    broken = audit(seeded("NaN in a parameter"), ROWS, meant={"0.weight": "no"})
    assert not broken.passed


def test_statistics_are_those_of_the_parameter() -> None:
    made = nn.Sequential(nn.Linear(2, 2))
    with torch.no_grad():
        made[0].weight.copy_(torch.tensor([[1.0, 0.0], [float("nan"), 5.0]]))
    weight, bias = audit(made, ROWS[:, :2]).parameters
    assert (weight.path, weight.owner, weight.shape, weight.dtype) == (
        "0.weight",
        "Linear",
        (2, 2),
        "float32",
    )
    assert (weight.mean, weight.min, weight.max, weight.zeros) == (2.0, 0.0, 5.0, 0.25)
    assert weight.std == pytest.approx((14 / 3) ** 0.5)
    assert (weight.nan, weight.inf, weight.trainable) == (1, 0, True)
    assert weight.expected_std == pytest.approx(2**-0.5)
    assert (bias.expected_std, bias.all_zero) == (None, False)


def test_duplicates_and_ties_are_on_record() -> None:
    facts = {f.path: f for f in audit(seeded("tied weights"), ROWS).parameters}
    assert facts["0.weight"].tied == ("2.weight",)
    assert "2.weight" not in facts
    case = HEALTHY["copied filters of an upsampling"]
    facts = {f.path: f for f in audit(case.module(), drawn(case.specs, 16)).parameters}
    assert (facts["stem.weight"].duplicates, facts["up.weight"].duplicates) == (0, 6)


def test_the_gain_of_norms_is_the_one_that_acts() -> None:
    """A weight of zeros that is used as 1 + w acts as 1."""
    for name in ("RMSNorm", "RMSNorm with 1 + w", "RMSNorm of one's own"):
        norm = next(x for x in audit(seeded(name), ROWS).layers.layers if x.path == "1")
        assert norm.gain == pytest.approx(1.0, abs=0.15), name
    linear = next(x for x in audit(seeded("RMSNorm"), ROWS).layers.layers if x.path == "0")
    assert linear.gain is None


def test_what_the_optimiser_does_not_hold() -> None:
    made = mlp(nn.ReLU())
    some = torch.optim.SGD([made[0].weight, made[0].bias], lr=0.1)
    found = audit(made, ROWS, optimizer=some)
    assert {f.path for f in found.problems(strict=True)} == {"2.weight", "2.bias"}
    assert [f.optimised for f in found.parameters] == [True, True, False, False]
    every = torch.optim.SGD(made.parameters(), lr=0.1)
    assert audit(made, ROWS, optimizer=every).findings == []


def test_gradients_and_updates_at_the_first_steps_and_the_last() -> None:
    life = audit(seeded("multi-layer"), ROWS, steps=5).life
    assert life is not None
    for path, steps in life.moves.items():
        assert [s.step for s in steps] == [0, 1, 5], path
        assert all(s.gradient > 0 and s.weight > 0 for s in steps)
        # Adam's first steps move every entry by the learning rate.
        assert steps[0].update == pytest.approx(1e-3, rel=0.05)
        assert 0 < steps[-1].update < 2e-3


def test_layers_tell_where_the_rows_become_equal() -> None:
    found = audit(seeded("softmax over the wrong axis"), ROWS)
    assert "its rows become equal in 1 (Softmax)" in failures(found)["output output"]
    found = audit(seeded("dead ReLU"), ROWS)
    assert "its rows become equal in 1 (ReLU)" in failures(found)["output output"]
    assert found.layers.activations[0].idle == 1.0


def test_a_loss_of_ones_own() -> None:
    """What the loss does not look at gets no gradient, and that shows."""

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(8, 2), nn.Linear(8, 2)

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {"a": self.a(x), "b": self.b(x)}

    torch.manual_seed(0)
    assert audit(Two(), ROWS).findings == []
    partial = audit(Two(), ROWS, loss=lambda outputs: outputs["a"].square().mean())
    assert set(failures(partial)) == {"b.weight", "b.bias"}


def test_learning_is_held_against_the_best_blind_answer() -> None:
    torch.manual_seed(0)
    sides = (torch.arange(16) % 2).float()

    def loss(outputs: Tensor) -> Tensor:
        return nn.functional.binary_cross_entropy_with_logits(outputs[:, 0], sides)

    learning = audit(mlp(nn.ReLU()), ROWS, loss=loss).learning
    assert learning is not None
    assert learning.ignoring == pytest.approx(0.6931, abs=1e-3)  # ln 2: half of the rows each
    assert learning.learnt < learning.ignoring
    # A loss without a least value cannot be compared with anything.
    assert audit(mlp(nn.ReLU()), ROWS, loss=lambda outputs: outputs.sum()).learning is None


def test_losses_below_zero_are_learnt_like_others() -> None:
    """A density's or a reward's: a start that is worse than blind has learnt nothing."""
    assert not Learning("loss", start=-0.9, learnt=-0.99, ignoring=-1.0, steps=40).learns
    assert Learning("loss", start=-0.9, learnt=-1.03, ignoring=-1.0, steps=40).learns
    assert Learning("loss", start=5.0, learnt=3.0, ignoring=-1.0, steps=40).learns
    sides = (torch.arange(16) % 2 * 2 - 1).float()
    torch.manual_seed(0)
    found = audit(mlp(nn.ReLU()), ROWS, loss=lambda y: (y[:, 0] - sides).square().mean() - 2)
    assert found.learning is not None
    assert found.learning.ignoring == pytest.approx(-1.0, abs=1e-3)
    assert found.learning.learnt < found.learning.ignoring


def test_what_one_row_cannot_tell() -> None:
    found = audit(nn.Linear(8, 2), ROWS[:1])
    assert found.passed
    assert ["not looked at" in f.what for f in found.findings] == [True]
    assert found.problems(strict=True) == []


def test_outputs_without_rows_are_said_to_tell_nothing() -> None:
    found = audit(nn.Sequential(nn.Linear(8, 3), Lambda(lambda y: y.mean())), ROWS)
    assert ["none has a row for each row of input" in f.what for f in found.findings] == [True]
    partial = audit(seeded("detached stem"), ROWS)
    assert "an output that the loss does not look at" in partial.findings[0].mend


def test_rows_that_are_equal_are_no_fault_of_the_network() -> None:
    module = seeded("multi-layer")
    found = audit(module, ROWS[:1].expand(16, 8))
    assert ["not looked at" in f.what for f in found.findings] == [True]
    assert found.learning is None
    almost = ROWS[:1].repeat(16, 1)
    almost[0] += 1.0
    assert audit(module, almost).findings == []


def test_whole_numbers_are_said_to_tell_nothing() -> None:
    module = nn.Sequential(nn.Linear(8, 4), Lambda(lambda x: x.argmax(1)))
    found = audit(module, ROWS)
    assert [(f.severity, f.path) for f in found.findings] == [("warn", "output output")]
    assert "whole numbers" in found.findings[0].what


def test_half_precision_is_trained_in_float32() -> None:
    for dtype in (torch.float16, torch.bfloat16):
        found = audit(seeded("multi-layer").to(dtype), ROWS.to(dtype))
        assert found.findings == []
        assert {f.dtype for f in found.parameters} == {str(dtype).removeprefix("torch.")}


class ByKeyword(nn.Module):
    """Takes its input by name alone."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 4)

    def forward(self, *, x: Tensor) -> Tensor:
        return self.linear(x)


def test_inputs_by_keyword_alone() -> None:
    assert audit(ByKeyword(), ROWS).findings == []
    assert audit(ByKeyword(), {"x": ROWS}).findings == []


@pytest.mark.parametrize(
    ("loss", "says"),
    [
        (lambda outputs: 0.5, "one number, found float"),
        (lambda outputs: outputs, r"one number, found \[16, 4\]"),
        (lambda outputs: outputs.nothing, "the loss fails on what forward returns"),
    ],
)
def test_losses_that_are_none(loss: Callable[[Any], Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        audit(seeded("multi-layer"), ROWS, loss=loss)


def test_what_a_function_shuts_off_has_a_name() -> None:
    """So that it can be meant."""

    class Shut(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(8, 16), nn.Linear(16, 4)
            nn.init.constant_(self.first.bias[:14], -50.0)

        def forward(self, x: Tensor) -> Tensor:
            return self.second(torch.relu(self.first(x)))

    torch.manual_seed(0)
    (finding,) = audit(Shut(), ROWS).findings
    assert finding.path == "relu after first"
    assert audit(Shut(), ROWS, meant={finding.path: "a mask"}).findings == []


def test_nothing_of_the_module_changes() -> None:
    drawing = Lambda(lambda x: x * random.random() * np.random.rand())  # noqa: NPY002
    made = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), drawing, nn.Linear(8, 2))
    made.train()
    made[1].eval()
    made(ROWS).sum().backward()
    before = copy.deepcopy(made.state_dict())
    gradients = [p.grad.clone() for p in made.parameters()]
    state, rows = torch.get_rng_state(), ROWS.clone()
    numbers = random.getstate(), np.random.get_state()[1].tobytes()  # noqa: NPY002
    audit(made, ROWS, seed=7)
    assert torch.equal(torch.get_rng_state(), state)
    assert numbers == (random.getstate(), np.random.get_state()[1].tobytes())  # noqa: NPY002
    assert torch.equal(rows, ROWS)
    assert torch.backends.mha.get_fastpath_enabled()
    assert [m.training for m in made] == [True, False, True, True]
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in made.modules())
    assert all(torch.equal(made.state_dict()[name], tensor) for name, tensor in before.items())
    assert all(torch.equal(p.grad, g) for p, g in zip(made.parameters(), gradients, strict=True))


def test_the_same_seed_gives_the_same_audit_as_strict_json() -> None:
    large = 2**40 + 3  # more than numpy's generator takes
    first, second = (audit(seeded("dropout"), ROWS, seed=large).to_json() for _ in range(2))
    assert first == second
    assert first["learning"]["learnt"] < first["learning"]["ignoring"]
    told = json.loads(json.dumps(audit(seeded("NaN in a parameter"), ROWS).to_json()))
    assert (told["passed"], told["parameters"][0]["role"]) == (False, "weight")
    json.dumps(first, allow_nan=False)


@pytest.mark.parametrize(
    ("module", "inputs", "says"),
    [
        (nn.Linear(8, 2), ROWS[:, :3], "cannot run on"),
        (nn.LazyLinear(2), ROWS, "run it once"),
    ],
)
def test_what_cannot_be_audited(module: nn.Module, inputs: Tensor, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        audit(module, inputs)
    with pytest.raises(UsageError, match="at least 1 step"):
        audit(module, inputs, steps=0)


def test_outputs_by_name() -> None:
    one, two = torch.zeros(1), torch.ones(1)
    assert list(named_outputs(one)) == ["output"]
    assert list(named_outputs((one, two), ["a"])) == ["a", "output_1"]
    assert list(named_outputs({"x": one, "y": (two, None)})) == ["x", "y.output_0"]


def test_masks_do_not_count_as_variation() -> None:
    logits = torch.zeros(4, 3)
    logits[torch.arange(3), torch.arange(3)] = -1e4
    assert not varies(logits)
    logits[3, 0] = 0.1
    assert varies(logits)
    assert not varies(torch.full((4, 3), float("-inf")))
    assert varies(torch.tensor([[5000.0], [6000.0]]))
