"""The networks that come with azx: sound, the same in any batch, as strong as their cards say."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import REPOSITORY, random_boards

from azx.runtime.errors import ModelError
from azx.runtime.modelfile import read_model
from azx.runtime.models import named_model, shipped_model
from azx.runtime.onnx_evaluator import OnnxEvaluator, open_model
from azx.runtime.play import play_games
from azx.runtime.players import OnePlyPlayer, PolicyPlayer, SearchPlayer
from azx.runtime.records import read_orders
from azx.runtime.search import Budget
from azx.runtime.seeds import draw_orders, game_keys
from azx.runtime.solver import Solution, expected_score, policy_of
from azx.runtime.variant import MINI, STANDARD
from azx.runtime.verify import verify_model

MODELS = REPOSITORY / "models"


@pytest.mark.parametrize("name", ["standard", "standard-small", "mini"])
def test_the_shipped_networks_pass_their_own_checks(name: str) -> None:
    checks = verify_model(MODELS / f"{name}.onnx", provider="cpu")
    assert [check.name for check in checks if not check.passed] == []
    assert named_model(Path(name)) == MODELS / f"{name}.onnx"
    with pytest.raises(ModelError, match="no such file"):
        named_model(MODELS / name)  # a path is no name, though there is such a model
    assert (MODELS / f"{name}.md").is_file()


@pytest.mark.parametrize(
    ("threads", "many_games", "fixed_batches"),
    [(1, False, False), (2, False, False), (2, True, False), (1, False, True)],
)
def test_an_answer_does_not_depend_on_the_batch(
    threads: int, many_games: bool, fixed_batches: bool
) -> None:
    """To the last bit, on the CPU: games are the same whatever is played beside them.

    Batches that are filled up to a fixed size, as a GPU gets them, give the same too.
    """
    model = read_model(MODELS / "standard.onnx", STANDARD)
    evaluator = OnnxEvaluator(model, "cpu", threads, many_games, fixed_batches)
    assert evaluator.lanes == (threads if many_games else 1)
    boards = random_boards(STANDARD, 1100, seed=8)
    together = OnnxEvaluator(model, "cpu", 1).evaluate(boards)
    whole_again = evaluator.evaluate(boards)
    assert all((a == b).all() for a, b in zip(together, whole_again, strict=True))  # type: ignore[union-attr]
    for size in (1, 2, 3, 7, 64, 129):
        for start in range(0, 130, size):
            part = slice(start, start + size)
            for whole, alone in zip(together, evaluator.evaluate(boards[part]), strict=True):
                assert whole is not None
                assert (whole[part] == alone).all()


def test_the_same_games_alone_and_together() -> None:
    evaluator = open_model(MODELS / "standard.onnx", STANDARD, "cpu")
    keys = game_keys(6, 5)
    orders = draw_orders(STANDARD, keys)
    for make in (PolicyPlayer, OnePlyPlayer, lambda e: SearchPlayer(e, Budget(16))):
        together = play_games(make(evaluator), orders, keys)
        alone = [play_games(make(evaluator), orders[g : g + 1], keys[g : g + 1]) for g in range(5)]
        assert (together.cells == np.concatenate([game.cells for game in alone])).all()


def test_mini_plays_within_one_percent_of_perfect(mini_solution: Solution) -> None:
    evaluator = open_model(MODELS / "mini.onnx", MINI, "cpu")
    exact = expected_score(MINI, policy_of(OnePlyPlayer(evaluator)))
    assert exact > 0.99 * mini_solution.optimum
    assert f"{exact:.3f}" in (MODELS / "mini.md").read_text()


def test_standard_is_as_strong_as_its_card_says(shared: Path) -> None:
    """On the first 1,000 of the reference orders."""
    orders = read_orders(shared / "data" / "eval_orders.npy", STANDARD)[:1000]
    evaluator = open_model(MODELS / "standard.onnx", STANDARD, "cpu")
    scores = play_games(PolicyPlayer(evaluator), orders, game_keys(0, 1000)).scores()
    figures = json.loads((MODELS / "standard.json").read_text())["figures"]
    assert scores.mean() == pytest.approx(figures["policy"]["mean"], abs=3.0)


def test_the_small_network_is_small() -> None:
    """What its card promises: an eighth of the arithmetic of the large one, and both in 20 MB."""
    files = [MODELS / f"{name}.onnx" for name in ("standard", "standard-small")]
    assert sum(path.stat().st_size for path in files) < 20e6
    large, small = (multiplications(onnx.load(path)) for path in files)
    assert large >= 8 * small
    assert shipped_model("standard") == files[0]


def multiplications(model: onnx.ModelProto) -> int:
    """In the matrix products of a forward of one board; all else is small beside them."""
    graph = model.graph
    for value in (*graph.input, *graph.output):
        for axis in value.type.tensor_type.shape.dim:
            axis.dim_value = axis.dim_value or 1
    del graph.value_info[:]
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.output, *graph.value_info):
        shapes[value.name] = tuple(axis.dim_value for axis in value.type.tensor_type.shape.dim)
    products = [node for node in graph.node if node.op_type in ("MatMul", "Gemm")]
    assert products
    assert not any(a.name == "transA" and a.i for node in products for a in node.attribute)
    return sum(math.prod(shapes[node.output[0]]) * shapes[node.input[0]][-1] for node in products)


def test_what_the_readme_says_of_python_runs() -> None:
    text = (REPOSITORY / "README.md").read_text()
    found: dict[str, object] = {}
    exec(text.partition("```python\n")[2].partition("```")[0], found)
    assert isinstance(found["cells"], np.ndarray)
    assert found["cells"].shape == (1,)
    assert 0 <= found["cells"][0] < STANDARD.cells
