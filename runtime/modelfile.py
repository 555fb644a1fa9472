"""The .onnx file as azx ships it: a graph that says what it is, and proves that it is whole.

An ONNX file is one protobuf message, and the message's fields may be read one after another without
knowing the rest of the format. That is all this module does: it finds the metadata, and hashes
every byte of the file but the entry that holds the hash. So a runtime without the onnx package can
refuse a damaged file, or one made for another game, before a session is built from it.

    model_author, graph, opset ...      as torch.onnx wrote them
    metadata_props["azx"]               JSON: `Card`, or `ModelCard` for a network that plays
    metadata_props["azx.sha256"]        the hash of all the bytes before
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from azx.runtime.contract import CONTRACT_VERSION
from azx.runtime.errors import ModelError, UsageError
from azx.runtime.files import read_bytes
from azx.runtime.layout import NUMBER, Layout, misfit
from azx.runtime.variant import RULES_VERSION, Variant, variant_from_json

CARD_KEY = "azx"
HASH_KEY = "azx.sha256"

#: Field number of `metadata_props` in ONNX's ModelProto, and of key and value in its entries.
_METADATA_PROPS, _KEY, _VALUE = 14, 1, 2
_GRAPH = 7
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

#: What a card holds, as far as azx relies on it; that of a network that does not play must say what
#: goes in and out.
CARD: Layout = {
    "verified?": bool,
    "precision?": str,
    "network?": dict,
    "training?": dict,
    "interface?": dict,
    "parameters?": [{"name": str, "shape": [int]}],
    "gate?": dict,
    "golden?": dict,
    "bounds?": {"*": [NUMBER]},
    "made_by?": dict,
}
SPECS: Layout = [{"name": str, "axes": [(int, str)]}]
OTHER_CARD: Layout = {**CARD, "interface": {"inputs": SPECS, "outputs": SPECS}}


@dataclass(frozen=True, kw_only=True)
class Card:
    """What a file says of itself, whatever the network is for."""

    verified: bool = False  # every check of the export gate passed
    precision: str = "float32"  # of its large products; or compact, fp16, int8
    network: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    interface: dict[str, Any] = field(default_factory=dict)  # names, types and axes
    parameters: list[dict[str, Any]] = field(default_factory=list)
    gate: dict[str, Any] = field(default_factory=dict)
    golden: dict[str, Any] = field(default_factory=dict)  # inputs and outputs for `azx verify`
    # How far each output may be off, for each row of the golden set.
    bounds: dict[str, list[float]] = field(default_factory=dict)
    made_by: dict[str, str] = field(default_factory=dict)  # commit and versions

    def to_json(self) -> dict[str, Any]:
        """All fields."""
        return dict(self.__dict__)


@dataclass(frozen=True)
class ModelCard(Card):
    """What the file of a network that plays says of itself."""

    variant: Variant
    contract: int = CONTRACT_VERSION

    def to_json(self) -> dict[str, Any]:
        """All fields, the variant spelled out."""
        return {**super().to_json(), "variant": self.variant.to_json()}


@dataclass(frozen=True)
class SealedFile:
    """A file that was read and is whole."""

    path: Path
    data: bytes
    card: Card
    sha256: str


@dataclass(frozen=True)
class ModelFile(SealedFile):
    """A model that was read, checked and belongs to a known variant."""

    card: ModelCard


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a number longer than 64 bits")


def _fields(data: bytes) -> Iterator[tuple[int, int, int, int]]:
    """(number, start, start of content, end) of each field; ValueError where it is no protobuf."""
    at = 0
    while at < len(data):
        start = at
        tag, at = _varint(data, at)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            content = at
            _, at = _varint(data, at)
        elif kind in (_FIXED64, _FIXED32):
            content, at = at, at + (8 if kind == _FIXED64 else 4)
        elif kind == _BYTES:
            length, content = _varint(data, at)
            at = content + length
        else:
            raise ValueError(f"field {number} has the unknown wire type {kind}")
        if at > len(data) or number == 0:
            raise ValueError("it ends in the middle of a field")
        yield number, start, content, at


def _entry(data: bytes) -> tuple[str, str]:
    """Key and value of one metadata entry."""
    parts = {number: data[content:end] for number, _, content, end in _fields(data)}
    return parts.get(_KEY, b"").decode(), parts.get(_VALUE, b"").decode()


def _length_prefixed(number: int, content: bytes) -> bytes:
    prefix = bytearray([number << 3 | _BYTES])
    length = len(content)
    while length >= 0x80:
        prefix.append(length & 0x7F | 0x80)
        length >>= 7
    prefix.append(length)
    return bytes(prefix) + content


def _metadata(key: str, value: str) -> bytes:
    entry = _length_prefixed(_KEY, key.encode()) + _length_prefixed(_VALUE, value.encode())
    return _length_prefixed(_METADATA_PROPS, entry)


def seal(graph: bytes, card: Card) -> bytes:
    """The bytes of a model file: a serialised ONNX model, its card and the hash of both.

    Protobuf messages are extended by appending fields, so neither onnx nor a copy is needed.
    """
    body = graph + _metadata(CARD_KEY, json.dumps(card.to_json(), allow_nan=False))
    return body + _metadata(HASH_KEY, hashlib.sha256(body).hexdigest())


def read_sealed(path: Path) -> SealedFile:
    """Read a file that `azx export` wrote, of any network, without building a session.

    Raises `ModelError` where it is missing, not ONNX, not sealed by azx, damaged, or made for other
    rules or another contract.
    """
    path = Path(path)
    if path.is_dir():
        raise ModelError(
            f"{path} is a folder, expected an exported file: of a run, `azx export {path} --out "
            "net.onnx` makes one"
        )
    if path.suffix in (".json", ".safetensors"):
        raise ModelError(
            f"{path} is no exported file; if it is a run's checkpoint, `azx export "
            f"{path.with_suffix('.json')} --out net.onnx` makes one"
        )
    data = read_bytes(path, ModelError)
    try:
        metadata: dict[str, str] = {}
        hasher = hashlib.sha256()
        has_graph = False
        for number, start, content, end in _fields(data):
            key = ""
            if number == _METADATA_PROPS:
                key, value = _entry(data[content:end])
                metadata[key] = value
            has_graph |= number == _GRAPH
            if key != HASH_KEY:
                hasher.update(data[start:end])
        if not has_graph:
            raise ValueError("no graph in it")
    except (ValueError, IndexError) as error:
        reason = (
            "the file is empty"
            if not data
            else "cut off or not ONNX" + (f" ({error})" if isinstance(error, ValueError) else "")
        )
        raise ModelError(f"{path} is not a readable ONNX model: {reason}") from None
    if CARD_KEY not in metadata or HASH_KEY not in metadata:
        raise ModelError(
            f"{path} is ONNX but carries no azx metadata: make it with `azx export`, which checks "
            "a network and records its variant and contract"
        )
    found, expected = hasher.hexdigest(), metadata[HASH_KEY]
    if found != expected:
        raise ModelError(
            f"{path} was changed after it was exported: its bytes hash to {found[:12]}..., "
            f"the file says {expected[:12]}...; export it again or fetch it afresh"
        )
    return SealedFile(path, data, _card(path, metadata[CARD_KEY]), found)


def read_model(
    path: Path, variant: Variant | None = None, allow_unverified: bool = False
) -> ModelFile:
    """Read and check the file of a network that plays, without building a session.

    Raises `ModelError` as `read_sealed` does, and where the network is no player, or stamped
    unverified and `allow_unverified` is not set; or where `variant` is given and is not the
    model's.
    """
    sealed = read_sealed(path)
    path, card = sealed.path, sealed.card
    if not isinstance(card, ModelCard):
        raise ModelError(
            f"{path} holds a network of another kind ({card.network.get('type', 'unknown')}), not "
            "one that plays: `azx verify` checks it, and any program with onnxruntime can run it"
        )
    if variant is not None and card.variant != variant:
        raise ModelError(
            f"{path} plays {_describe(card.variant)}, needed is one for {_describe(variant)}"
        )
    if not card.verified and not allow_unverified:
        raise ModelError(
            f"{path} is stamped UNVERIFIED: it was written although the export gate refused it; "
            "--allow-unverified opens it all the same"
        )
    return ModelFile(path, sealed.data, card, sealed.sha256)


def _card(path: Path, text: str) -> Card:
    try:
        fields = json.loads(text)
        other = "variant" not in fields and "interface" in fields
        if wrong := misfit(fields, OTHER_CARD if other else CARD):
            raise ValueError(wrong)
        if other:
            return Card(**fields)
        contract = fields["contract"]
        if contract != CONTRACT_VERSION:
            raise ModelError(
                f"{path} follows version {contract} of the network's contract, this azx knows "
                f"version {CONTRACT_VERSION}: export it again with this azx"
            )
        fields["variant"] = variant_from_json(fields["variant"])
        return ModelCard(**fields)
    except UsageError as error:
        raise ModelError(f"{path}: {error} (this azx has rules version {RULES_VERSION})") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelError(f"{path}: its azx metadata cannot be read ({error})") from error


def _describe(variant: Variant) -> str:
    return f"{variant.name} ({variant.cells} cells, {variant.tiles} tiles)"
