"""Networks that this project did not write, from packages that are installed, made small."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from azx.export.inputs import InputSpec, parse_input


class Foreign(NamedTuple):
    """How one is made, what it takes, and the package that it comes from."""

    make: Callable[[], nn.Module]
    inputs: tuple[str, ...]
    package: str = "torch"

    @property
    def missing(self) -> bool:
        return find_spec(self.package) is None

    @property
    def specs(self) -> list[InputSpec]:
        return [parse_input(text) for text in self.inputs]

    def module(self) -> nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return self.make()


IMAGES = ("pixel_values=float32[batch,3,32,32]",)
TOKENS = ("input_ids=int64[batch,12]<100",)


def hugging(model: str, config: str, **settings: Any) -> Callable[[], nn.Module]:
    """A model of `transformers` from its config: nothing is fetched."""

    def make() -> nn.Module:
        import transformers

        made = getattr(transformers, config)(**settings)
        return getattr(transformers, model)(made)

    return make


TINY: dict[str, Any] = {
    "vocab_size": 100,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
}


class Sentence(nn.Module):
    """torch's own transformer on words, as its documentation has it."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(100, 32)
        layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(32, 5)

    def forward(self, words: Tensor) -> Tensor:
        return self.head(self.encoder(self.table(words)).mean(1))


FOREIGN: dict[str, Foreign] = {
    "torch LSTM": Foreign(
        lambda: nn.LSTM(8, 16, num_layers=2, batch_first=True), ("input=float32[batch,6,8]",)
    ),
    "torch GRU, both ways": Foreign(
        lambda: nn.GRU(8, 16, bidirectional=True), ("input=float32[6,batch,8]",)
    ),
    "torch transformer": Foreign(
        lambda: nn.Transformer(16, 2, 1, 1, 32, batch_first=True),
        ("src=float32[batch,6,16]", "tgt=float32[batch,4,16]"),
    ),
    "torch encoder of words": Foreign(Sentence, ("words=int64[batch,10]<100",)),
    "BERT": Foreign(hugging("BertModel", "BertConfig", **TINY), TOKENS, "transformers"),
    "T5 encoder": Foreign(
        hugging(
            "T5EncoderModel",
            "T5Config",
            vocab_size=100,
            d_model=32,
            d_kv=8,
            d_ff=64,
            num_layers=2,
            num_heads=4,
        ),
        TOKENS,
        "transformers",
    ),
    "Gemma": Foreign(
        hugging(
            "GemmaModel",
            "GemmaConfig",
            **TINY,
            num_key_value_heads=2,
            head_dim=8,
            use_cache=False,
            attn_implementation="eager",
        ),
        TOKENS,
        "transformers",
    ),
    "ViT": Foreign(
        hugging(
            "ViTModel",
            "ViTConfig",
            **{**TINY, "vocab_size": None},
            image_size=32,
            patch_size=8,
        ),
        IMAGES,
        "transformers",
    ),
    "ResNet": Foreign(
        hugging(
            "ResNetForImageClassification",
            "ResNetConfig",
            embedding_size=16,
            hidden_sizes=[16, 32],
            depths=[1, 1],
            layer_type="basic",
            num_labels=5,
        ),
        IMAGES,
        "transformers",
    ),
    "ConvNeXt": Foreign(
        hugging(
            "ConvNextForImageClassification",
            "ConvNextConfig",
            hidden_sizes=[16, 32],
            depths=[1, 1],
            num_stages=2,
            num_labels=5,
        ),
        IMAGES,
        "transformers",
    ),
    "BiT with GroupNorm": Foreign(
        hugging(
            "BitForImageClassification",
            "BitConfig",
            embedding_size=32,
            hidden_sizes=[64, 64],
            depths=[1, 1],
            num_groups=8,
            num_labels=5,
        ),
        IMAGES,
        "transformers",
    ),
}

#: Those in which zeroing every vector meets no norm, or one that stores 1 + w: it does no harm.
IMMUNE = {"torch LSTM", "torch GRU, both ways", "Gemma"}


def with_the_bug(module: nn.Module) -> nn.Module:
    """Every one-dimensional tensor set to 0, meaning the biases."""
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.ndim == 1:
                parameter.zero_()
    return module
