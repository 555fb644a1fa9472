"""The trainer: what it learns, that it resumes exactly, that it stops where nothing is learnt."""

from __future__ import annotations

import fcntl
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ExactEvaluator, random_boards
from numpy.typing import NDArray
from torch import nn

from azx.runtime import rules
from azx.runtime.contract import MASKED_LOGIT
from azx.runtime.errors import CheckFailed, RunError, UsageError
from azx.runtime.play import play_games
from azx.runtime.players import GreedyPlayer, OnePlyPlayer
from azx.runtime.records import Games, write_games
from azx.runtime.seeds import draw_orders, game_keys
from azx.runtime.solver import Solution, expected_score, policy_of
from azx.runtime.variant import MINI, STANDARD, Variant
from azx.trainer.checkpoint import load_network, read_checkpoint
from azx.trainer.config import TrainConfig, config_from_dict, load_config, presets
from azx.trainer.initialise import initialise
from azx.trainer.learner import Learner, Losses, StepReport
from azx.trainer.network import NetworkConfig, PolicyValueNetwork
from azx.trainer.preflight import preflight
from azx.trainer.samples import lambda_returns, samples_of
from azx.trainer.selfplay import Exploration, Round, play_round, search_round
from azx.trainer.stopping import standing_still
from azx.trainer.torch_evaluator import TorchEvaluator
from azx.trainer.train import Outcome, train
from azx.trainer.watchdog import Watchdog

SMALL = load_config(
    "mini",
    [
        "rounds=4",
        "network.width=32",
        "network.groups=4",
        "selfplay.games_per_round=64",
        "learning.batch_size=64",
        "learning.precision=float32",
        "evaluation.every=2",
        "evaluation.games=40",
    ],
)


class Silent:
    """A reporter that keeps the metrics."""

    def __init__(self) -> None:
        self.metrics: list[dict] = []

    def passed(self, found: object) -> None: ...

    def step(self, what: str, done: int, of: int) -> None: ...

    def round(self, metrics: dict, config: TrainConfig) -> None:
        self.metrics.append(metrics)


def network_of(variant: Variant, trunk: str = "dense", width: int = 32) -> PolicyValueNetwork:
    network = PolicyValueNetwork(variant, NetworkConfig(trunk, width, 1, 4))
    initialise(network, 0, network.heads)
    return network.eval()


@pytest.mark.parametrize("trunk", ["dense", "conv"])
@pytest.mark.parametrize("variant", [MINI, STANDARD], ids=lambda v: v.name)
def test_the_network_follows_the_contract(trunk: str, variant: Variant) -> None:
    boards = random_boards(variant, 3 * (variant.cells + 1), seed=1)
    with torch.inference_mode():
        network = network_of(variant, trunk)
        logits, value, q = network(torch.from_numpy(boards))
        gains = network.encoding(torch.from_numpy(boards)).gains
    assert logits.shape == q.shape == (len(boards), variant.tiles, variant.cells)
    assert logits.dtype == value.dtype == q.dtype == torch.float32
    assert (gains.numpy() == rules.all_gains(variant, boards)).all()
    filled = torch.from_numpy(boards >= 0)
    assert (logits.transpose(1, 2)[filled] == MASKED_LOGIT).all()
    assert (logits.transpose(1, 2)[~filled] > -100).all()
    empty = (boards < 0).sum(axis=1)
    assert (value[empty == 0] == 0).all()
    assert (q[empty <= 1] == 0).all()
    # One cell left: whatever tile comes goes there, so the value is the mean of the gains.
    left = rules.tiles_left(variant, boards)
    for row in np.flatnonzero(empty == 1):
        cell = int(np.flatnonzero(boards[row] < 0)[0])
        expected = gains[row, left[row], cell].mean()
        assert value[row] == pytest.approx(float(expected), abs=1e-4)


@pytest.mark.parametrize("trunk", ["dense", "conv"])
def test_a_board_and_its_half_turn_are_judged_alike(trunk: str) -> None:
    """Asked to, a network takes the mean of both; in training it sees one of them."""
    boards = torch.from_numpy(random_boards(STANDARD, 40, seed=1))
    turned = boards.flip(1)
    plain = network_of(STANDARD, trunk)
    both = PolicyValueNetwork(STANDARD, replace(plain.config, half_turn=True)).eval()
    both.load_state_dict(plain.state_dict())
    with torch.inference_mode():
        here, there = plain(boards), plain(turned)
        found, again = both(boards), both(turned)
        torch.testing.assert_close(found.q, 0.5 * (here.q + there.q.flip(2)))
        torch.testing.assert_close(again.q, found.q.flip(2))
        torch.testing.assert_close(again.value, found.value)
        torch.testing.assert_close(again.policy_logits, found.policy_logits.flip(2))
        assert not torch.equal(here.q, there.q.flip(2))
        torch.testing.assert_close(both.train()(boards).q, here.q)


def test_both_trunks_look_at_the_whole_board() -> None:
    board = random_boards(STANDARD, 11, seed=3)[10:]
    for trunk in ("dense", "conv"):
        network = network_of(STANDARD, trunk)
        before = network(torch.from_numpy(board)).q
        for cell in np.flatnonzero(board[0] >= 0):
            other = board.copy()
            other[0, cell] = -1
            assert not torch.equal(before, network(torch.from_numpy(other)).q)


def test_a_parameter_without_a_rule_is_an_error() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(3))

    with pytest.raises(UsageError, match=r"no rule initialises Own at '0' \(scale\)"):
        initialise(nn.Sequential(Own()), 0)


def test_the_table_covers_embeddings_and_free_parameters() -> None:
    free = nn.ParameterList([torch.zeros(50, 40), torch.zeros(2000)])
    network = nn.ModuleList([free, nn.Embedding(30, 100), nn.LayerNorm(8), nn.Conv1d(3, 4, 3)])
    initialise(network, 1)
    assert float(free[0].detach().std()) == pytest.approx(0.02, rel=0.1)
    assert float(free[1].detach().std()) == pytest.approx(0.02, rel=0.1)
    assert float(network[1].weight.detach().std()) == pytest.approx(1.0, rel=0.1)
    assert (network[2].weight == 1).all()


@pytest.mark.parametrize("trunk", ["dense", "conv"])
def test_every_kind_of_layer_has_its_spread(trunk: str) -> None:
    network = PolicyValueNetwork(STANDARD, NetworkConfig(trunk, 128, 2, 8))
    initialise(network, 7, network.heads)
    heads = set(network.heads.modules())
    for module in network.modules():
        if isinstance(module, (nn.GroupNorm,)):
            assert (module.weight == 1).all()
            assert (module.bias == 0).all()
        elif isinstance(module, (nn.Linear, nn.Conv2d)):
            gain = 0.1 if module in heads else np.sqrt(2)
            expected = gain / np.sqrt(module.weight[0].numel())
            assert float(module.weight.detach().std()) == pytest.approx(expected, rel=0.1)
            assert module.bias is None or bool((module.bias == 0).all())
    again = PolicyValueNetwork(STANDARD, NetworkConfig(trunk, 128, 2, 8))
    initialise(again, 7, again.heads)
    for a, b in zip(network.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)


def test_lambda_returns_by_hand() -> None:
    orders, cells = np.array([[0, 5, 11, 3, 8, 1, 7]], np.int8), np.arange(7, dtype=np.int8)[None]
    games = Games(MINI, orders, cells)
    gains = games.gains()[0].astype(float)
    values = np.append(np.arange(7.0, 0.0, -1.0), 0.0)[None].astype(np.float32)
    luck = np.full((1, 7), 4.0, np.float32)
    played = Round.empty(games, 0, None)
    played.values[:], played.luck[:] = values, luck
    made = np.append(gains[::-1].cumsum()[::-1], 0.0)
    returns, floor = lambda_returns(played, 1.0)
    np.testing.assert_allclose(returns[0], made)
    np.testing.assert_allclose(floor[0], 4.0 * np.arange(7, -1, -1))
    returns, floor = lambda_returns(played, 0.0)
    np.testing.assert_allclose(returns, values)
    assert not floor.any()
    played.explored[0, 3] = True
    returns, _ = lambda_returns(played, 1.0)
    assert returns[0, 3] == values[0, 3]
    assert returns[0, 2] == gains[2] + values[0, 3]


def test_samples_turn_by_half_a_turn() -> None:
    evaluator = TorchEvaluator(network_of(MINI))
    samples = samples_of(play_round(evaluator, game_keys(0, 8), Exploration(0.1, 5), 3), 0.5)
    rows = np.arange(len(samples))
    same, turned = samples.take(rows, rows < 0), samples.take(rows, rows >= 0)
    assert (same.boards == samples.boards).all()
    assert (turned.boards[:, ::-1] == samples.boards).all()
    assert (turned.cells == MINI.cells - 1 - samples.cells).all()
    lesson = np.arange(len(samples) * MINI.tiles * MINI.cells, dtype=np.float16)
    lesson = lesson.reshape(len(samples), MINI.tiles, MINI.cells)
    taught = replace(samples, lesson=lesson).take(rows, rows % 2 == 0).lesson
    assert taught is not None
    assert (taught[::2, :, ::-1] == lesson[::2]).all()
    assert (taught[1::2] == lesson[1::2]).all()
    several = samples.others >= 0
    assert (turned.others == np.where(several, MINI.cells - 1 - samples.others, -1)).all()
    gain = rules.placement_gains(MINI, samples.boards, samples.tiles, samples.cells)
    boards = np.ascontiguousarray(turned.boards)
    assert (rules.placement_gains(MINI, boards, turned.tiles, turned.cells) == gain).all()


@pytest.mark.parametrize("how", ["1 candidate", "3 candidates", "a tree"])
def test_self_play_is_the_same_in_any_batch(how: str) -> None:
    evaluator = TorchEvaluator(network_of(MINI))

    def play(keys: NDArray[np.uint64]) -> Round:
        if how == "a tree":
            return search_round(evaluator, keys, 0.3, 6)
        return play_round(evaluator, keys, Exploration(0.3, 5.0), int(how[0]))

    keys = game_keys(4, 12)
    together = play(keys)
    apart = [play(keys[g : g + 3]) for g in range(0, 12, 3)]
    cells = np.concatenate([part.games.cells for part in apart])
    assert (together.games.cells == cells).mean() > 0.97  # torch rounds differently by batch
    assert together.explored.any()
    assert not together.explored.all()
    if together.policy is not None:
        np.testing.assert_allclose(together.policy.sum(axis=2), 1.0, rtol=1e-5)
        assert (together.values[:, 1:-1] != 0).mean() > 0.9


def test_it_learns_mini_nearly_perfectly(mini_solution: Solution, tmp_path: Path) -> None:
    """A short run of the preset: 96% of the optimum; the whole preset reaches 99%."""
    config = load_config("mini", ["rounds=16", "network.width=128", "evaluation.every=16"])
    outcome = train(config, tmp_path / "run", Silent())
    player = OnePlyPlayer(TorchEvaluator(load_network(tmp_path / "run").network))
    exact = expected_score(MINI, policy_of(player))
    assert exact > 0.96 * mini_solution.optimum
    assert outcome.best_score == pytest.approx(exact, abs=2.0)


def test_it_learns_with_search(tmp_path: Path) -> None:
    reporter = Silent()
    train(
        replace(SMALL, rounds=8, selfplay=replace(SMALL.selfplay, simulations=8)),
        tmp_path,
        reporter,
    )
    assert reporter.metrics[-1]["one_ply"] > reporter.metrics[0]["score"] + 5
    assert reporter.metrics[-1]["policy_loss"] < reporter.metrics[0]["policy_loss"]


def test_it_learns_from_recorded_games(mini_solution: Solution, tmp_path: Path) -> None:
    """An expert's games: the policy loss at least halves, the values' stays above the luck."""
    keys = game_keys(11, 3000)
    expert = OnePlyPlayer(ExactEvaluator(mini_solution))
    games = play_games(expert, draw_orders(MINI, keys), keys)
    config = load_config("recorded", ["variant=mini", "network.width=128", "evaluation.games=50"])
    reporter = Silent()
    train(config, tmp_path, reporter, games)
    first, last = reporter.metrics[0], reporter.metrics[-1]
    assert last["policy_loss"] < 0.5 * first["policy_loss"]
    assert last["held_out_policy_loss"] < 0.6 * first["held_out_policy_loss"]
    assert last["held_out_value_loss"] > 0.7 * last["held_out_value_floor"]


def _trained(tmp_path: Path, name: str, stop_after: int | None) -> tuple[Path, list[Outcome]]:
    run = tmp_path / name
    rounds: list[int] = []

    def stop() -> bool:
        rounds.append(1)
        return len(rounds) == stop_after

    outcomes = [train(SMALL, run, Silent(), stop=stop)]
    if stop_after is not None:
        outcomes.append(train(SMALL, run, Silent(), resume=True))
    return run, outcomes


def test_a_resumed_run_ends_like_an_unbroken_one(tmp_path: Path) -> None:
    unbroken, _ = _trained(tmp_path, "unbroken", None)
    for stop_after in (1, 3):
        broken, outcomes = _trained(tmp_path, f"broken{stop_after}", stop_after)
        assert outcomes[0].reason == "stopped"
        assert outcomes[1].reason == "finished"
        a, b = (read_checkpoint(run / "last.json") for run in (unbroken, broken))
        assert a.tensors.keys() == b.tensors.keys()
        for name, tensor in a.tensors.items():
            assert (tensor == b.tensors[name]).all(), name
        lines = [
            [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
            for run in (unbroken, broken)
        ]
        for one, other in zip(*lines, strict=True):
            timeless = {k for k in one if not k.startswith("seconds")}
            assert {k: one[k] for k in timeless} == {k: other[k] for k in timeless}


def test_a_kill_between_two_saves_loses_only_what_came_after(tmp_path: Path) -> None:
    run, _ = _trained(tmp_path, "run", 2)
    unbroken = read_checkpoint(run / "last.json")
    # Lines and weights that a killed run wrote after its last checkpoint.
    train(replace(SMALL), tmp_path / "short", Silent(), stop=lambda: True)
    with (tmp_path / "short/metrics.jsonl").open("a") as stream:
        stream.write('{"round": 2, "score": -1}\n')
    (tmp_path / "short/last-000002.safetensors").write_bytes(b"half")
    (tmp_path / "short/.last.json.77.tmp").write_text("{")
    train(SMALL, tmp_path / "short", Silent(), resume=True)
    again = read_checkpoint(tmp_path / "short/last.json")
    assert all((unbroken.tensors[k] == again.tensors[k]).all() for k in unbroken.tensors)
    lines = (tmp_path / "short/metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["round"] for line in lines] == [1, 2, 3, 4]


def test_a_run_is_never_overwritten_or_mixed(tmp_path: Path) -> None:
    train(replace(SMALL, rounds=1), tmp_path, Silent())
    with pytest.raises(UsageError, match="holds a run already"):
        train(SMALL, tmp_path, Silent())
    with pytest.raises(RunError, match="another config"):
        train(replace(SMALL, seed=5, rounds=1), tmp_path, Silent(), resume=True)
    with pytest.raises(RunError, match="no such file"):
        train(SMALL, tmp_path / "nothing", Silent(), resume=True)


def test_a_resumed_run_learns_from_what_it_learnt_from(tmp_path: Path) -> None:
    keys = game_keys(11, 40)
    games = play_games(GreedyPlayer(MINI), draw_orders(MINI, keys), keys)
    write_games(tmp_path / "games.npz", games)  # left there by another run
    train(SMALL, tmp_path, Silent(), stop=lambda: True)
    with pytest.raises(UsageError, match="leave them out"):
        train(SMALL, tmp_path, Silent(), games, resume=True)
    reporter = Silent()
    train(SMALL, tmp_path, reporter, resume=True)
    assert "held_out_value_loss" not in reporter.metrics[-1]


def test_a_run_begins_from_another(tmp_path: Path) -> None:
    train(SMALL, tmp_path / "first", Silent())
    taken = replace(SMALL, rounds=1, learning=replace(SMALL.learning, rate=1e-9, weight_decay=0.0))
    train(taken, tmp_path / "second", Silent(), begin_from=tmp_path / "first")
    first, second = (load_network(tmp_path / run) for run in ("first", "second"))
    for name, tensor in first.network.state_dict().items():
        torch.testing.assert_close(second.network.state_dict()[name], tensor)
    assert second.info["begun_from"]["round"] == first.info["round"]
    wider = replace(SMALL, network=replace(SMALL.network, width=64))
    with pytest.raises(UsageError, match="the network to begin from is"):
        train(wider, tmp_path / "third", Silent(), begin_from=tmp_path / "first")


def test_a_network_learns_from_a_teacher(tmp_path: Path) -> None:
    """It plays nearly as well in half the rounds; interrupted and resumed, exactly the same."""
    more = replace(SMALL, selfplay=replace(SMALL.selfplay, games_per_round=256))
    teacher, student = Silent(), Silent()
    train(replace(more, rounds=12), tmp_path / "teacher", teacher)
    learning = replace(SMALL.learning, rate=4e-3, lambda_start=0.0)
    config = replace(more, rounds=6, learning=learning, seed=1)
    train(config, tmp_path / "unbroken", student, teacher=tmp_path / "teacher")
    first, last = student.metrics[0], student.metrics[-1]
    assert last["lesson_loss"] < 0.25 * first["lesson_loss"]
    assert last["one_ply"] > teacher.metrics[-1]["one_ply"] - 2.0
    broken = tmp_path / "broken"
    train(config, broken, Silent(), teacher=tmp_path / "teacher", stop=lambda: True)
    train(config, broken, Silent(), resume=True)
    one, other = (read_checkpoint(tmp_path / run / "last.json") for run in ("unbroken", "broken"))
    assert all((tensor == other.tensors[name]).all() for name, tensor in one.tensors.items())


def test_teachers_that_cannot_teach_are_refused(tmp_path: Path) -> None:
    train(replace(SMALL, rounds=1), tmp_path / "teacher", Silent())
    keys = game_keys(11, 40)
    games = play_games(GreedyPlayer(MINI), draw_orders(MINI, keys), keys)
    with pytest.raises(UsageError, match="leave one out"):
        train(SMALL, tmp_path / "run", Silent(), games, teacher=tmp_path / "teacher")
    with pytest.raises(UsageError, match="the teacher plays mini, the run is for standard"):
        train(
            replace(SMALL, variant="standard"),
            tmp_path / "run",
            Silent(),
            teacher=tmp_path / "teacher",
        )


def test_two_processes_cannot_train_in_one_folder(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        with pytest.raises(UsageError, match="another process is training"):
            train(SMALL, tmp_path, Silent())


def test_broken_checkpoints_are_refused(tmp_path: Path) -> None:
    train(replace(SMALL, rounds=1), tmp_path, Silent())
    weights = next(tmp_path.glob("best-*.safetensors"))
    whole = weights.read_bytes()
    weights.write_bytes(whole[:1000])
    with pytest.raises(RunError, match="not a readable checkpoint"):
        load_network(tmp_path)
    weights.unlink()
    with pytest.raises(RunError, match="no such file"):
        load_network(tmp_path)
    (tmp_path / "best.json").write_text("{")
    with pytest.raises(RunError, match="not a readable checkpoint"):
        load_network(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunError, match="holds no checkpoint"):
        load_network(tmp_path / "empty")


def zero_every_vector(network: nn.Module) -> None:
    """The bug: 'the biases' by their shape."""
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 1:
                parameter.zero_()


@pytest.mark.parametrize("trunk", ["dense", "conv"])
def test_the_original_bug_never_takes_a_step(trunk: str) -> None:
    network = network_of(STANDARD, trunk)
    assert preflight(network, 0).learnt < 1.0
    zero_every_vector(network)
    with pytest.raises(CheckFailed, match=r"not fit to train: .*norm"):
        preflight(network, 0)


def _report(**changes: float) -> StepReport:
    numbers = dict.fromkeys(Losses._fields, 1.0) | changes
    losses = Losses(**{k: torch.tensor(v) for k, v in numbers.items()})
    return StepReport(losses, changes.get("gradient_norm", 1.0))


def watch(watchdog: Watchdog, **changes: float) -> None:
    for _ in range(120):
        watchdog.watch(_report(**changes))


def test_the_watchdog_stops_what_does_not_learn() -> None:
    network = network_of(MINI)
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    lively = Watchdog(network, steps=50)
    watch(lively)
    uniform = Watchdog(network, steps=50)
    with pytest.raises(CheckFailed, match="still uniform"):
        watch(uniform, departure=0.001)
    with pytest.raises(CheckFailed, match="not finite"):
        Watchdog(network).watch(_report(q=float("nan")))
    network.trunk.norm.weight.grad.zero_()  # type: ignore[union-attr]
    dead = Watchdog(network, steps=50)
    with pytest.raises(CheckFailed, match=r"no gradient in 50 steps, trunk\.norm\.weight"):
        watch(dead)


def test_the_watchdog_stops_a_real_run_that_goes_dead(tmp_path: Path) -> None:
    """The bug put in after the checks before the first step."""
    from azx.trainer.train import Training

    training = Training(SMALL, tmp_path, None, None)
    zero_every_vector(training.learner.network)
    watchdog = Watchdog(training.learner.network, steps=40)
    training.play_and_learn(watchdog, Silent())
    with pytest.raises(CheckFailed, match=r"no gradient in 40 steps"):
        training.play_and_learn(watchdog, Silent())


def test_stopping_goes_by_paired_intervals() -> None:
    rng = np.random.default_rng(0)
    luck = rng.normal(150, 25, 500)

    def evaluations(means: list[float]) -> list[np.ndarray]:
        return [np.round(luck + m + rng.normal(0, 8, 500)).astype(np.int32) for m in means]

    settings = replace(SMALL.evaluation, patience=3, least_gain=0.5)
    assert standing_still(evaluations([0, 1, 2]), settings) is None  # too few to say
    assert standing_still(evaluations([0, 1, 2, 3, 4, 5]), settings) is None  # rising
    stood = [standing_still(evaluations([3.0] * 8), SMALL.evaluation) for _ in range(20)]
    assert sum(gain is not None for gain in stood) > 15
    falling = standing_still(evaluations([5, 5, 5, 3, 3, 3]), settings)
    assert falling is not None
    assert falling.mean == pytest.approx(-2, abs=1)


def test_the_averaged_weights_follow() -> None:
    learner = Learner(network_of(MINI), SMALL.learning, torch.float32)
    samples = samples_of(
        play_round(TorchEvaluator(learner.average), game_keys(0, 16), Exploration(0.3, 5.0), 1), 0.9
    )
    start = learner.average.heads.q.weight.clone()  # type: ignore[union-attr]
    learner.step(samples)
    now = learner.network.heads.q.weight  # type: ignore[union-attr]
    expected = start + 0.02 * (now - start)
    torch.testing.assert_close(learner.average.heads.q.weight, expected)  # type: ignore[union-attr]


def test_presets_and_overrides() -> None:
    assert {"champion", "mini", "quick", "recorded", "standard"} <= set(presets())
    for preset in presets():
        config = load_config(preset, [])
        assert config_from_dict(config.to_json(), "itself") == config
    config = load_config("mini", ["network.width=64", "seed=3", "learning.precision=float32"])
    assert (config.network.width, config.seed, config.learning.precision) == (64, 3, "float32")


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("network.widht=64", "unknown field network.widht; known are network.trunk"),
        ("speed=1", "unknown field speed"),
        ("network.width=wide", "network.width must be int, found 'wide'"),
        ("network.width=1.5", "network.width must be int"),
        ("network.width=100", "multiple of network.groups"),
        ("network.trunk=attention", "'dense' or 'conv'"),
        ("rounds=0", "rounds must be at least 1"),
        ("learning.lambda_start=1.5", "between 0 and 1"),
        ("learning.rate=0.0", "above 0"),
        ("variant=maxi", "no variant 'maxi'"),
        ("rounds", "an override is FIELD=VALUE"),
        ("rounds.more=1", "rounds is not a table"),
        ("network=3", "network must be a table"),
    ],
)
def test_wrong_config_is_refused_by_name(override: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        load_config("mini", [override])


def test_unreadable_presets_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no preset 'maxi'; there are: champion, champion-2, mini"):
        load_config("maxi", [])
    (tmp_path / "x.toml").write_text("rounds = ")
    with pytest.raises(UsageError, match="not readable TOML"):
        load_config(str(tmp_path / "x.toml"), [])


def test_too_few_recorded_games_are_refused(tmp_path: Path) -> None:
    keys = game_keys(11, 2)
    two = play_games(GreedyPlayer(MINI), draw_orders(MINI, keys), keys)
    keys = game_keys(11, 1)
    games = play_games(GreedyPlayer(MINI), draw_orders(MINI, keys), keys)
    with pytest.raises(UsageError, match="too few"):
        train(load_config("recorded", ["variant=mini"]), tmp_path, Silent(), games)
    with pytest.raises(UsageError, match="games are of mini"):
        train(load_config("recorded", []), tmp_path / "other", Silent(), two)
