"""Modules that an audit must pass without a word, however odd they look."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

from corpus.parts import (
    PLANES,
    SEQUENCES,
    WORDS,
    Case,
    OnePlusNorm,
    OwnNorm,
    Residual,
    case,
    convolutions,
    filled,
    mlp,
    zeroed,
)


def zero_last_norms() -> nn.Module:
    made = nn.Sequential(
        Residual(nn.Linear(8, 8), nn.LayerNorm(8), nn.ReLU(), nn.Linear(8, 8), nn.LayerNorm(8)),
        Residual(nn.Linear(8, 8), nn.LayerNorm(8)),
        nn.Linear(8, 3),
    )
    return zeroed(made, "0.branch.4.weight", "1.branch.1.weight")


class ReZero(nn.Module):
    """x + alpha branch(x), alpha 0 at the start (Bachlechner et al., 2020)."""

    def __init__(self) -> None:
        super().__init__()
        self.branch = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 8))
        self.alpha = nn.Parameter(torch.zeros(1))
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x + self.alpha * self.branch(x))


class LowRank(nn.Module):
    """A frozen layer and a low-rank change of it, B at 0 (LoRA, Hu et al., 2021)."""

    def __init__(self) -> None:
        super().__init__()
        self.base = nn.Linear(8, 16).requires_grad_(False)
        self.a = nn.Linear(8, 2, bias=False)
        self.b = nn.Linear(2, 16, bias=False)
        self.head = nn.Linear(16, 4)
        zeroed(self, "b.weight")

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.base(x) + self.b(self.a(x))))


class LayerScale(nn.Module):
    """A branch scaled by 1e-6 at the start (Touvron et al., 2021)."""

    def __init__(self) -> None:
        super().__init__()
        self.branch = nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))
        self.gamma = nn.Parameter(torch.full((8,), 1e-6))
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x + self.gamma * self.branch(x))


class PolicyAndValue(nn.Module):
    """Two heads, the policy's at nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(8, 16), nn.LayerNorm(16), nn.ReLU())
        self.policy, self.value = nn.Linear(16, 6), nn.Linear(16, 1)
        zeroed(self, "policy.weight", "policy.bias")

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        h = self.trunk(x)
        return {"policy": self.policy(h), "value": self.value(h).squeeze(1)}


def small_policy_head() -> nn.Module:
    """A hundredth of the usual gain in the last layer, as policy gradients like it."""
    made = mlp(nn.Tanh())
    with torch.no_grad():
        made[-1].weight.mul_(0.01)
    return made


def frozen_stem() -> nn.Module:
    made = mlp(nn.ReLU())
    filled(made, "0.weight", 0.3)  # an average, and meant
    with torch.no_grad():
        made[0].bias.copy_(torch.linspace(-4, 4, 16))
    made[0].requires_grad_(False)
    return made


def tied() -> nn.Module:
    made = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8))
    made[2].weight = made[0].weight
    return made


class TiedWords(nn.Module):
    """One table to read words and to write them."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(30, 16)
        self.mix = nn.GRU(16, 16, batch_first=True)
        self.out = nn.Linear(16, 30, bias=False)
        self.out.weight = self.table.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.mix(self.table(x))[0])


def weight_norm() -> nn.Module:
    made = mlp(nn.Tanh())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        nn.utils.weight_norm(made[0])
    made(torch.ones(2, 8))  # leaves a tensor with a history as an attribute
    return made


class Masked(nn.Module):
    """-Inf in a buffer and in the output, as masks have it."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 3)
        self.register_buffer("mask", torch.tensor([0.0, float("-inf"), 0.0]))

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) + self.mask


class HelperInTraining(nn.Module):
    """A second head that only training sees."""

    def __init__(self) -> None:
        super().__init__()
        self.head, self.helper = nn.Linear(8, 2), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return (self.head(x), self.helper(x)) if self.training else (self.head(x),)


class Difference(nn.Module):
    """What is answered to x, less what is answered to x reversed: the bias falls out."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) - self.linear(x.flip(1))


class ClassToken(nn.Module):
    """A transformer that reads its answer off a token of zeros, and positions of zeros."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.zeros(1, 1, 8))
        self.position = nn.Parameter(torch.zeros(1, 6, 8))
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat((self.token.expand(len(x), -1, -1), x), dim=1) + self.position
        return self.head(self.layer(x)[:, 0])


class Last(nn.Module):
    """The last state of a recurrent layer, read by a linear one."""

    def __init__(self, recurrent: nn.Module) -> None:
        super().__init__()
        self.recurrent, self.head = recurrent, nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.recurrent(x)[0][:, -1])


class TwoInputs(nn.Module):
    """Numbers, and words that may be masked."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.linear = nn.Embedding(30, 8), nn.Linear(16, 4)

    def forward(self, x: Tensor, words: Tensor) -> Tensor:
        return self.linear(torch.cat((x, self.table(words).mean(1)), dim=1))


class PixelShuffle(nn.Module):
    """An upsampling layer whose filters start as copies of each other (Aitken et al., 2017)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.up = nn.Conv2d(16, 8, 3, padding=1)
        self.shuffle = nn.PixelShuffle(2)
        self.out = nn.Conv2d(2, 1, 3, padding=1)
        with torch.no_grad():
            self.up.weight.copy_(self.up.weight[::4].repeat_interleave(4, dim=0))

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.relu(self.shuffle(self.up(torch.relu(self.stem(x))))))


class StandardisedConv(nn.Conv2d):
    """Filters of mean 0, a deviation by the fan-in, and a gain of 1 (Brock et al., 2021)."""

    def __init__(self, channels: int, filters: int) -> None:
        super().__init__(channels, filters, 3, padding=1)
        self.gain = nn.Parameter(torch.ones(filters, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        apart, mean = torch.std_mean(self.weight, dim=(1, 2, 3), keepdim=True)
        fan_in = self.weight[0].numel()
        weight = self.gain * (self.weight - mean) / (apart * fan_in**0.5)
        return nn.functional.conv2d(x, weight, self.bias, padding=1)


def standardised() -> nn.Module:
    layers = (StandardisedConv(3, 16), nn.ReLU(), StandardisedConv(16, 16), nn.ReLU())
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4))


def normless() -> nn.Module:
    """Kaiming's spread throughout and no norm."""
    made = nn.Sequential(*(part for _ in range(6) for part in (nn.Linear(8, 8), nn.ReLU())))
    for layer in made:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
    return nn.Sequential(*made, nn.Linear(8, 2))


def stack(depth: int, width: int, activation: Callable[[], nn.Module]) -> nn.Module:
    """Linear layers as torch initialises them, and nothing but an activation between them."""
    widths = [8, *[width] * depth]
    layers = (
        part
        for fan_in, fan_out in pairwise(widths)
        for part in (nn.Linear(fan_in, fan_out), activation())
    )
    return nn.Sequential(*layers, nn.Linear(width, 2))


HEALTHY: dict[str, Case] = {
    "linear": case(lambda: nn.Linear(8, 4)),
    "one unit": case(lambda: nn.Linear(8, 1)),
    "multi-layer": case(lambda: mlp(nn.ReLU())),
    "deep without norms": case(normless),
    "three layers of sigmoids": case(lambda: stack(3, 16, nn.Sigmoid)),
    "six narrow layers of ReLUs": case(lambda: stack(6, 8, nn.ReLU)),
    "twelve layers of tanh": case(lambda: stack(12, 8, nn.Tanh)),
    "convolutions and GroupNorm": case(convolutions, PLANES),
    "convolutions and BatchNorm": case(lambda: convolutions(lambda: nn.BatchNorm2d(16)), PLANES),
    "InstanceNorm": case(lambda: convolutions(lambda: nn.InstanceNorm2d(16, affine=True)), PLANES),
    "depthwise convolutions": case(
        lambda: nn.Sequential(
            nn.Conv2d(3, 12, 1), nn.Conv2d(12, 12, 3, groups=12), nn.SiLU(), nn.Conv2d(12, 2, 1)
        ),
        PLANES,
    ),
    "standardised convolutions with a gain": case(standardised, PLANES),
    "transposed convolution": case(
        lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.ConvTranspose2d(8, 2, 3)), PLANES
    ),
    "transposed convolution by channel": case(
        lambda: nn.Sequential(
            nn.Conv2d(3, 64, 1), nn.ConvTranspose2d(64, 64, 4, 2, 1, groups=64), nn.Conv2d(64, 2, 1)
        ),
        PLANES,
    ),
    "zero last norms of branches": case(zero_last_norms),
    "zero last norm, convolutions": case(
        lambda: zeroed(convolutions(), "3.branch.4.weight"), PLANES
    ),
    "zero head": case(lambda: zeroed(mlp(nn.ReLU()), "2.weight", "2.bias")),
    "zero policy head": case(PolicyAndValue),
    "small policy head": case(small_policy_head),
    "ReZero": case(ReZero),
    "LoRA": case(LowRank),
    "LayerScale": case(LayerScale),
    "frozen stem": case(frozen_stem),
    "tied weights": case(tied),
    "tied words": case(TiedWords, WORDS),
    "RMSNorm": case(lambda: mlp(nn.RMSNorm(16), nn.SiLU())),
    "RMSNorm with 1 + w": case(lambda: mlp(OnePlusNorm(16), nn.SiLU())),
    "RMSNorm of one's own": case(lambda: mlp(OwnNorm(16), nn.SiLU())),
    "bias before BatchNorm": case(lambda: mlp(nn.BatchNorm1d(16), nn.ReLU())),
    "dropout": case(lambda: mlp(nn.Dropout())),
    "weight norm": case(weight_norm),
    "masks": case(Masked),
    "PReLU": case(lambda: mlp(nn.PReLU())),
    "helper in training": case(HelperInTraining),
    "bias that falls out": case(Difference),
    "transformer layer": case(
        lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), SEQUENCES
    ),
    "class token of zeros": case(ClassToken, SEQUENCES),
    "LSTM": case(lambda: Last(nn.LSTM(8, 16, batch_first=True)), SEQUENCES),
    "GRU, rows second": case(lambda: nn.GRU(8, 16), ("input=float32[5,batch,8]",)),
    "words": case(
        lambda: nn.Sequential(nn.Embedding(30, 8, sparse=True), nn.Flatten(), nn.Linear(48, 2)),
        WORDS,
    ),
    "two inputs": case(TwoInputs, ("x=float32[batch,8]", "words=int64[batch,6]<30")),
    "copied filters of an upsampling": case(PixelShuffle, PLANES),
}
