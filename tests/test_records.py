"""Records and orders: what is written comes back, and what is malformed is refused."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from azx.runtime.bench.strength import orders_hash
from azx.runtime.errors import RecordError, UsageError
from azx.runtime.files import write_text
from azx.runtime.play import play_games
from azx.runtime.players import GreedyPlayer
from azx.runtime.records import Games, read_games, read_orders, write_games
from azx.runtime.seeds import draw_orders, game_keys
from azx.runtime.variant import MINI, STANDARD


@pytest.fixture
def games() -> Games:
    keys = game_keys(0, 20)
    return play_games(GreedyPlayer(MINI), draw_orders(MINI, keys), keys)


def test_a_record_comes_back_as_it_was(games: Games, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    thought = Games(
        games.variant,
        games.orders,
        games.cells,
        rng.random((20, 7, 7)).astype(np.float16),
    )
    for given in (games, thought):
        write_games(tmp_path / "g.npz", given)
        back = read_games(tmp_path / "g.npz")
        assert back.variant == MINI
        for name in ("orders", "cells", "policy"):
            before, after = getattr(given, name), getattr(back, name)
            assert before is after is None or (before == after).all()
    assert (read_orders(tmp_path / "g.npz", MINI) == games.orders).all()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["g.npz"]


@pytest.mark.parametrize("kind", ["<i8", ">i2", ">i8"])
def test_a_record_of_other_numbers_is_the_same_games(
    kind: str, games: Games, tmp_path: Path
) -> None:
    """Wider, of another byte order, or by columns: in memory all are int8, row by row."""
    orders, cells = (np.asfortranarray(a.astype(kind)) for a in (games.orders, games.cells))
    write_games(tmp_path / "g.npz", Games(MINI, orders, cells))
    back = read_games(tmp_path / "g.npz")
    for found, given in ((back.orders, games.orders), (back.cells, games.cells)):
        assert (found.dtype, found.flags.c_contiguous) == (np.int8, True)
        assert (found == given).all()
    assert (back.scores() == games.scores()).all()
    read = read_orders(tmp_path / "g.npz", MINI)
    assert orders_hash(read) == orders_hash(games.orders)


def test_a_standard_game_is_38_bytes(tmp_path: Path) -> None:
    keys = game_keys(0, 4000)
    games = play_games(GreedyPlayer(STANDARD), draw_orders(STANDARD, keys), keys)
    assert games.orders.nbytes + games.cells.nbytes == 4000 * 38
    write_games(tmp_path / "g.npz", games)
    assert (tmp_path / "g.npz").stat().st_size < 4000 * 38 + 1000


def test_the_thirty_recorded_games_have_their_scores(shared: Path) -> None:
    path = shared / "data/recorded_games.json"
    claimed = [game["score"] for game in json.loads(path.read_text())]
    games = read_games(path)
    assert games.scores().tolist() == claimed
    assert len(games) == 30


def test_the_reference_orders_are_orders(shared: Path) -> None:
    assert read_orders(shared / "data/eval_orders.npy", STANDARD).shape == (10_000, 19)


def _orders(**changes: int) -> np.ndarray:
    orders = np.tile(np.arange(7, dtype=np.int64), (5, 1))
    for position, value in changes.items():
        row, column = map(int, position[1:].split("_"))
        orders[row, column] = value
    return orders


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (_orders(r3_2=1), "row 3 draws a tile twice"),
        (_orders(r1_0=12), "row 1 has an id outside 0 to 11"),
        (_orders(r1_0=300), "row 1 has an id outside 0 to 11"),
        (_orders(r2_0=-1), "row 2 has an id outside"),
        (_orders()[:, :6], "integers \\[games, 7\\], found int64 \\[5, 6\\]"),
        (_orders()[0], "found int64 \\[7\\]"),
        (_orders().astype(np.float64), "found float64"),
        (_orders()[:0], "no orders in it"),
    ],
)
def test_malformed_orders_are_refused(array: np.ndarray, says: str, tmp_path: Path) -> None:
    np.save(tmp_path / "o.npy", array)
    with pytest.raises(RecordError, match=says):
        read_orders(tmp_path / "o.npy", MINI)


def test_files_that_are_no_orders_are_refused(games: Games, tmp_path: Path) -> None:
    (tmp_path / "text.npy").write_text("tiles")
    np.save(tmp_path / "pickle.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    write_games(tmp_path / "mini.npz", games)
    for name in ("text.npy", "pickle.npy"):
        with pytest.raises(RecordError, match=r"not a \.npy file of numbers"):
            read_orders(tmp_path / name, MINI)
    with pytest.raises(RecordError, match="no such file"):
        read_orders(tmp_path / "none.npy", MINI)
    with pytest.raises(RecordError, match="is a folder"):
        read_orders(tmp_path, MINI)
    with pytest.raises(RecordError, match="games of mini, wanted standard"):
        read_orders(tmp_path / "mini.npz", STANDARD)


def test_broken_records_are_refused(games: Games, tmp_path: Path) -> None:
    path = tmp_path / "g.npz"
    write_games(path, games)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RecordError, match="not a record of games"):
        read_games(path)
    path.write_bytes(b"")
    with pytest.raises(RecordError, match="not a record of games"):
        read_games(path)
    np.savez(path, orders=games.orders)
    with pytest.raises(RecordError, match="not a record of games"):
        read_games(path)
    cells = games.cells.copy()
    cells[4, 0] = cells[4, 1]
    write_games(path, Games(MINI, games.orders, cells))
    with pytest.raises(RecordError, match="game 4 does not fill each of the 7 cells once"):
        read_games(path)
    policy = np.full((20, 7, 7), np.nan, dtype=np.float32)
    write_games(path, Games(MINI, games.orders, games.cells, policy))
    with pytest.raises(RecordError, match="policy must be finite"):
        read_games(path)
    with pytest.raises(UsageError, match=r"a record is a \.npz file"):
        write_games(tmp_path / "g.txt", games)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "expected a list"),
        ('[{"moves": [[0, [1, 2, 9]]]}]', "KeyError"),
        ('[{"score": 3}]', "expected a list"),
        ("[" * 100_000, "RecursionError"),
        ("[]", "are integers|no orders"),
    ],
)
def test_malformed_listings_are_refused(text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "g.json").write_text(text)
    with pytest.raises(RecordError, match=says):
        read_games(tmp_path / "g.json")


def test_a_wrong_score_in_a_listing_is_refused(shared: Path, tmp_path: Path) -> None:
    games = json.loads((shared / "data/recorded_games.json").read_text())
    games[7]["score"] += 1
    (tmp_path / "g.json").write_text(json.dumps(games))
    with pytest.raises(RecordError, match="game 7 says"):
        read_games(tmp_path / "g.json")


def listing(games: Games) -> str:
    """The games as a text of moves."""
    tiles = games.variant.tile_values
    texts = [
        "".join(
            f"{cell}, {tiles[tile].tolist()}\n" for cell, tile in zip(cells, order, strict=True)
        )
        for cells, order in zip(games.cells.tolist(), games.orders, strict=True)
    ]
    return "\n".join(texts)


def test_games_are_read_from_a_text_of_moves(games: Games, shared: Path, tmp_path: Path) -> None:
    recorded = read_games(shared / "data/recorded_games.json")
    for given in (games, recorded):
        (tmp_path / "g.txt").write_text("\n" + listing(given) + "\n\n")
        back = read_games(tmp_path / "g.txt")
        assert back.variant == given.variant
        assert (back.orders == given.orders).all()
        assert (back.cells == given.cells).all()
    assert (read_orders(tmp_path / "g.txt", STANDARD) == recorded.orders).all()
    loose = listing(games.part(slice(1))).replace(", ", " ,  ").replace("[", "[ ")
    (tmp_path / "loose").write_text(loose)
    assert (read_games(tmp_path / "loose").cells == games.cells[:1]).all()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda text: "", "no moves in it"),
        (lambda text: text.replace("[", "(", 1), "line 1: expected a move"),
        (lambda text: text + "\n0, [1, 2, 3]\n", r"game 1 has 1 moves, a whole game has 19"),
        (lambda text: text.split("\n", 1)[1], r"game 0 has 6 moves, a whole game has .*7 \(mini\)"),
        (lambda text: text.replace("[1, 2, 3]", "[1, 2, 9]"), r"no tile \[1, 2, 9\]"),
        (lambda text: text.replace("0, [", "7, ["), "no cell 7"),
        (lambda text: text.replace("0, [", "999, ["), "no cell 999"),
        (lambda text: text.replace("0, [", "9" * 5000 + ", ["), "line 1: expected a move"),
        (lambda text: text.replace("0, [", "1, ["), "does not fill each of the 7 cells once"),
        (lambda text: text.replace("[1, 2, 4]", "[1, 2, 3]"), "draws a tile twice"),
    ],
)
def test_malformed_texts_are_refused(
    change: Callable[[str], str], says: str, tmp_path: Path
) -> None:
    tiles = np.arange(7, dtype=np.int8)[None]
    path = tmp_path / "g.txt"
    path.write_text(change(listing(Games(MINI, tiles, tiles))))
    with pytest.raises(RecordError, match=says):
        read_games(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecordError, match="neither a record"):
        read_games(path)


def test_any_damage_is_a_record_error(games: Games, tmp_path: Path) -> None:
    """Flipped bytes either leave a sound record or are refused as what they are."""
    write_games(tmp_path / "g.npz", games)
    np.save(tmp_path / "o.npy", games.orders)
    rng = np.random.default_rng(0)
    for name in ("g.npz", "o.npy"):
        whole = (tmp_path / name).read_bytes()
        for _ in range(300):
            data = bytearray(whole)
            data[rng.integers(len(data))] = rng.integers(256)
            (tmp_path / name).write_bytes(data)
            with contextlib.suppress(RecordError):
                read_orders(tmp_path / name, MINI)


def test_files_follow_links_and_leave_devices_alone(games: Games, tmp_path: Path) -> None:
    (tmp_path / "link.npz").symlink_to(tmp_path / "target.npz")
    write_games(tmp_path / "link.npz", games)
    assert (tmp_path / "link.npz").is_symlink()
    assert len(read_games(tmp_path / "target.npz")) == len(games)
    write_text(Path("/dev/null"), "nothing")
    assert not Path("/dev/null").is_file()
