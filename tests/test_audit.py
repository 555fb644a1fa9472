"""The audit refuses what is dead for good, and only that."""

import copy
import json
import warnings
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

from azx.export.audit import Audit, audit
from azx.export.outputs import named_outputs, varies
from azx.export.positions import game_positions
from azx.runtime.errors import UsageError
from azx.runtime.variant import MINI, STANDARD, Variant
from azx.trainer.initialise import initialise
from azx.trainer.network import NetworkConfig, PolicyValueNetwork

ROWS = torch.randn(16, 8, generator=torch.Generator().manual_seed(5))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def network(trunk: str, variant: Variant) -> PolicyValueNetwork:
    made = PolicyValueNetwork(variant, NetworkConfig(trunk, width=32, blocks=1, groups=8))
    initialise(made, seed=1, heads=made.heads)
    return made


def boards(variant: Variant) -> Tensor:
    return torch.from_numpy(game_positions(variant, games=3).boards)


def layers(*modules: nn.Module) -> nn.Sequential:
    """Seeded, so that no test hangs on the order of the others."""
    made = nn.Sequential(*modules)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for module in made.modules():
            if isinstance(module, nn.Linear):
                module.weight.normal_(0.0, 0.5, generator=generator)
                if module.bias is not None:
                    module.bias.zero_()
    return made


class Residual(nn.Module):
    """x + the branch of x."""

    def __init__(self, *branch: nn.Module) -> None:
        super().__init__()
        self.branch = layers(*branch)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.branch(x)


def failures(audited: Audit) -> dict[str, str]:
    return {f.path: f.what for f in audited.findings if f.severity == "fail"}


def notes(audited: Audit, severity: str) -> dict[str, str]:
    return {f.path: f.what for f in audited.findings if f.severity == severity}


TRUNKS = [(trunk, variant) for trunk in ("dense", "conv") for variant in (STANDARD, MINI)]


@pytest.mark.parametrize(
    ("trunk", "variant"), TRUNKS, ids=lambda value: getattr(value, "name", value)
)
def test_the_bug_this_project_comes_from(trunk: str, variant: Variant) -> None:
    """Every one-dimensional tensor set to 0, meaning the biases."""
    made = network(trunk, variant)
    assert audit(made, (boards(variant),)).findings == []
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.ndim == 1:
                parameter.zero_()
    audited = audit(made, (boards(variant),))
    assert not audited.passed
    assert set(failures(audited)) == {"trunk.blocks.0.norm1.weight", "trunk.blocks.0.norm2.weight"}
    assert all("GroupNorm" in what for what in failures(audited).values())
    assert all(f.mend for f in audited.findings if f.severity == "fail")


def zeroed(module: nn.Module, *paths: str) -> nn.Module:
    with torch.no_grad():
        for path in paths:
            module.get_parameter(path).zero_()
    return module


def last_norm_zero() -> nn.Module:
    branch = (nn.Linear(8, 8), nn.LayerNorm(8), nn.ReLU(), nn.Linear(8, 8), nn.LayerNorm(8))
    made = layers(Residual(*branch), Residual(*branch[:2]), nn.Linear(8, 3))
    return zeroed(made, "0.branch.4.weight", "1.branch.1.weight")


def frozen_stem() -> nn.Module:
    made = layers(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))
    nn.init.constant_(made[0].weight, 0.3)  # an average, and meant
    with torch.no_grad():
        made[0].bias.copy_(torch.arange(8.0) - 4)
    made[0].requires_grad_(False)
    return made


def tied() -> nn.Module:
    made = layers(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8))
    made[2].weight = made[0].weight
    return made


def attention() -> nn.Module:
    torch.manual_seed(0)
    return nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)


def weight_norm() -> nn.Module:
    made = layers(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        nn.utils.weight_norm(made[0])
    made(ROWS)  # leaves a tensor with a history as an attribute
    return made


class Masked(nn.Module):
    """-Inf in a buffer and in the output, as masks have it."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = layers(nn.Linear(8, 3))
        self.register_buffer("mask", torch.tensor([0.0, float("-inf"), 0.0]))

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) + self.mask


HEALTHY: dict[str, Callable[[], nn.Module]] = {
    "last norm of residual branches at zero": last_norm_zero,
    "zero head": lambda: zeroed(
        layers(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3)), "2.weight", "2.bias"
    ),
    "frozen stem": frozen_stem,
    "tied weights": tied,
    "batch norm with a bias before it": lambda: layers(
        nn.Linear(8, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2)
    ),
    "dropout": lambda: layers(nn.Linear(8, 8), nn.Dropout(), nn.Linear(8, 2)),
    "weight norm": weight_norm,
    "masks": Masked,
    "PReLU": lambda: layers(nn.Linear(8, 8), nn.PReLU(), nn.Linear(8, 2)),
}


@pytest.mark.parametrize("name", HEALTHY)
def test_healthy_networks_pass(name: str) -> None:
    audited = audit(HEALTHY[name](), (ROWS,))
    assert failures(audited) == {}
    assert notes(audited, "warn") == {}
    assert all(f.wakes is not None for f in audited.parameters if f.trainable)


def test_recurrent_attentive_and_embedding_layers_pass() -> None:
    sequences = torch.randn(16, 5, 8, generator=torch.Generator().manual_seed(0))
    assert audit(attention(), (sequences,)).passed
    torch.manual_seed(0)
    assert audit(nn.LSTM(8, 8, batch_first=True), (sequences,)).passed
    words = layers(nn.Embedding(30, 8, sparse=True), nn.Flatten(), nn.Linear(40, 2))
    assert audit(words, (torch.arange(80).reshape(16, 5) % 30,)).passed


def test_when_a_zero_wakes_up_is_on_record() -> None:
    head = audit(HEALTHY["zero head"](), (ROWS,))
    wakes = {f.path: f.wakes for f in head.parameters}
    assert wakes == {"0.weight": 1, "0.bias": 1, "2.weight": 0, "2.bias": 0}
    assert "from step 0 on" in notes(head, "note")["2.weight"]
    assert "after training only" in notes(head, "note")["output output"]
    assert notes(audit(tied(), (ROWS,)), "note") == {
        "0.weight": "tied: the same tensor as 2.weight"
    }


class Detached(nn.Module):
    """The stem is used, and cut off from the gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = layers(nn.Linear(8, 8), nn.Linear(8, 2))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.stem(x).detach())


class Idle(nn.Module):
    """A layer that forward forgot."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.idle = layers(nn.Linear(8, 2), nn.Linear(8, 2))

    def forward(self, x: Tensor) -> Tensor:
        return self.used(x)


class DeafToInput(nn.Module):
    """Its parameters learn, and what comes in does not matter."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = layers(nn.Linear(8, 2))

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(torch.ones_like(x))


class RootOfNothing(nn.Module):
    """Finite outputs, and a gradient that is not."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = zeroed(layers(nn.Linear(8, 2)), "0.weight")

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x).square().sum(1).sqrt() + x.sum(1)


def shut_relu() -> nn.Module:
    made = layers(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))
    nn.init.constant_(made[0].bias, -100.0)
    return made


def alike() -> nn.Module:
    made = layers(nn.Linear(8, 8, bias=False), nn.Tanh(), nn.Linear(8, 2, bias=False))
    for layer in (made[0], made[2]):
        nn.init.constant_(layer.weight, 0.1)
    return made


def one_nan() -> nn.Module:
    made = layers(nn.Linear(8, 2))
    with torch.no_grad():
        made[0].weight[1, 3] = float("nan")
    return made


def nan_statistics() -> nn.Module:
    made = layers(nn.Linear(8, 8), nn.BatchNorm1d(8))
    made[1].running_mean[2] = float("nan")
    return made


def inf_statistics() -> nn.Module:
    made = layers(nn.Linear(8, 8), nn.BatchNorm1d(8))
    made[1].running_var[2] = float("inf")
    return made


def frozen_gate() -> nn.Module:
    """A zero that will stay, for it is frozen."""
    made = layers(nn.Linear(8, 8), nn.LayerNorm(8), nn.Linear(8, 2))
    zeroed(made, "1.weight")
    made[1].weight.requires_grad_(False)
    return made


SICK: dict[str, tuple[Callable[[], nn.Module], set[str], str]] = {
    "two zeros in series": (
        lambda: zeroed(layers(nn.Linear(8, 8), nn.Linear(8, 2)), "0.weight", "1.weight"),
        {"0.weight", "1.weight", "output output"},
        "0 throughout",
    ),
    "NaN parameter": (one_nan, {"0.weight"}, "1 NaN"),
    "NaN in a norm's statistics": (nan_statistics, {"1.running_mean"}, "1 NaN"),
    "Inf in a norm's statistics": (inf_statistics, {"1.running_var"}, "1 Inf"),
    "NaN gradient": (RootOfNothing, {"linear.0.weight"}, "gradient is NaN or Inf at step 0"),
    "output without the input": (DeafToInput, {"output output"}, "the same for every row"),
    "detached stem": (Detached, {"stem.weight", "stem.bias"}, "no gradient reaches it"),
    "activation that is shut": (
        shut_relu,
        {"0.weight", "0.bias", "2.weight", "output output"},
        "0 in 5 steps",
    ),
    "units that stay alike": (alike, {"0.weight"}, "units still do all the same"),
    "frozen zero in the way": (frozen_gate, {"1.weight", "output output"}, "frozen"),
}


@pytest.mark.parametrize("name", SICK)
def test_sick_networks_fail(name: str) -> None:
    make, paths, says = SICK[name]
    audited = audit(make(), (ROWS,))
    assert set(failures(audited)) == paths
    assert any(says in what for what in failures(audited).values())
    assert all(f.mend for f in audited.findings if f.severity == "fail")
    assert not audited.passed


class HelperInTraining(nn.Module):
    """A second head that only training sees."""

    def __init__(self) -> None:
        super().__init__()
        self.head, self.helper = layers(nn.Linear(8, 2), nn.Linear(8, 2))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return (self.head(x), self.helper(x)) if self.training else (self.head(x),)


class Difference(nn.Module):
    """What is answered to x, less what is answered to x reversed: the bias falls out."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = layers(nn.Linear(8, 2))

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) - self.linear(x.flip(1))


def test_what_only_training_uses_is_alive() -> None:
    helper = audit(HelperInTraining(), (ROWS,))
    assert helper.findings == []
    assert all(f.wakes == 0 for f in helper.parameters)


def test_a_bias_that_falls_out_is_no_fault() -> None:
    difference = audit(Difference(), (ROWS,))
    assert difference.passed
    assert list(notes(difference, "note")) == ["linear.0.bias"]


def test_suspicions_that_do_not_fail() -> None:
    idle = audit(Idle(), (ROWS,))
    assert idle.passed
    assert set(notes(idle, "warn")) == {"idle.weight", "idle.bias"}
    small = layers(nn.Linear(8, 8), nn.LayerNorm(8), nn.Linear(8, 2))
    nn.init.normal_(small[1].weight, 0.0, 0.02, generator=torch.Generator().manual_seed(0))
    audited = audit(small, (ROWS,))
    assert "where norms start at 1" in notes(audited, "warn")["1.weight"]
    constant = layers(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))
    nn.init.constant_(constant[0].weight, 0.1)
    assert "every entry" in notes(audit(constant, (ROWS,)), "warn")["0.weight"]
    one_row = audit(layers(nn.Linear(8, 2)), (ROWS[:1],))
    assert one_row.passed
    assert "not looked at" in notes(one_row, "note")[""]


def test_statistics_are_those_of_the_parameter() -> None:
    made = layers(nn.Linear(2, 2))
    with torch.no_grad():
        made[0].weight.copy_(torch.tensor([[1.0, 0.0], [float("nan"), 5.0]]))
    weight, bias = audit(made, (ROWS[:, :2],)).parameters
    assert (weight.path, weight.owner, weight.shape, weight.dtype) == (
        "0.weight",
        "Linear",
        (2, 2),
        "float32",
    )
    assert (weight.mean, weight.min, weight.max, weight.zeros) == (2.0, 0.0, 5.0, 0.25)
    assert weight.std == pytest.approx((14 / 3) ** 0.5)
    assert (weight.nan, weight.inf, weight.trainable) == (1, 0, True)
    assert (bias.all_zero, weight.all_zero) == (True, False)


def test_a_loss_of_ones_own() -> None:
    """What the loss does not look at gets no gradient, and that shows."""
    made = nn.ModuleDict({"a": layers(nn.Linear(8, 2)), "b": layers(nn.Linear(8, 2))})

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = made

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {name: part(x) for name, part in self.parts.items()}

    assert audit(Two(), (ROWS,)).passed
    partial = audit(Two(), (ROWS,), loss=lambda outputs: outputs["a"].square().mean())
    assert set(failures(partial)) == {"parts.b.0.weight", "parts.b.0.bias"}


def test_nothing_of_the_module_changes() -> None:
    made = layers(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 2))
    made.train()
    made[1].eval()
    made(ROWS).sum().backward()
    before = copy.deepcopy(made.state_dict())
    gradients = [p.grad.clone() for p in made.parameters()]
    state, rows = torch.get_rng_state(), ROWS.clone()
    audit(made, (ROWS,), seed=7)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(rows, ROWS)
    assert [m.training for m in made] == [True, False, True, True]
    assert all(torch.equal(made.state_dict()[name], tensor) for name, tensor in before.items())
    assert all(torch.equal(p.grad, g) for p, g in zip(made.parameters(), gradients, strict=True))


def test_the_same_seed_gives_the_same_audit_as_strict_json() -> None:
    made = layers(nn.Linear(8, 8), nn.Dropout(), nn.Linear(8, 2))
    first, second = (audit(made, (ROWS,), seed=3).to_json() for _ in range(2))
    assert first == second
    told = json.loads(json.dumps(audit(one_nan(), (ROWS,)).to_json(), allow_nan=False))
    assert (told["passed"], told["parameters"][0]["role"]) == (False, "weight")


@pytest.mark.parametrize(
    ("module", "inputs", "says"),
    [
        (nn.Linear(8, 2), (ROWS[:, :3],), "cannot run on"),
        (nn.LazyLinear(2), (ROWS,), "run it once"),
    ],
)
def test_what_cannot_be_audited(module: nn.Module, inputs: tuple[Tensor], says: str) -> None:
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
