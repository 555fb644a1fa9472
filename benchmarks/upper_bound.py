"""How far from the best possible? Bounds of perfect play from above.

    pip install ortools
    python benchmarks/upper_bound.py --variant mini --orders 2000
    python benchmarks/upper_bound.py --variant standard --orders 300

**Perfect information**: the mean of the best arrangement when all tiles are known in advance, by an
exact solver. No player beats it on average.

**With the line price** (`line_price.py`): the same player pays for what it knows, a price of mean
zero for an honest player, so that the mean of the largest score minus price is a bound too, and a
lower one. On `mini` the largest is found by looking at all arrangements. On `standard` it is not
proven: annealing finds good arrangements, not surely the best, so the figure there says where the
bound would lie and is none.

Orders are drawn from seed 1, theta is fitted on orders of seed 2. What is found is written to
`benchmarks/results/` after every order: an interrupted run goes on where it was.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from line_price import (
    annealed,
    enumerated,
    fit_theta,
    prices_until,
    surprises,
    theta_shape,
)
from numpy.typing import NDArray

from azx.cli.terminal import counting
from azx.runtime.files import whole_file, write_json
from azx.runtime.rules import scores
from azx.runtime.seeds import draw_orders, game_keys
from azx.runtime.solver import solve
from azx.runtime.stats import estimate
from azx.runtime.variant import MINI, VARIANTS, Variant, variant_named

RESULTS = Path(__file__).parent / "results"

SEED, FIT_SEED, FIT_ROUNDS = 1, 2, 200

#: Runs of the annealing on an order of `standard`, and the swaps of each.
ANNEALINGS, SWAPS = 3, 200_000


def fitted(variant: Variant) -> NDArray[np.float32]:
    """The theta of the line price, fitted once and then kept in the results."""
    path = RESULTS / f"line_price_{variant.name}.npz"
    if path.exists():
        with np.load(path) as archive:
            return archive["theta"]
    find = enumerated if variant == MINI else annealed
    with counting("fitting the price", FIT_ROUNDS) as count:
        theta = fit_theta(variant, FIT_SEED, find, FIT_ROUNDS, progress=lambda bound: count(1))
    theta = theta.astype(np.float32)  # as it is read again
    with whole_file(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, theta=theta)
    return theta


def best_known_score(variant: Variant, order: NDArray[np.int8]) -> int:
    """The score of the best arrangement of tiles known in advance, exactly."""
    if variant == MINI:
        return round(enumerated(variant, order, np.zeros(theta_shape(variant)))[1])
    from arrangement import best_arrangement

    score, board = best_arrangement(variant, order)
    assert scores(variant, board[None])[0] == score
    return score


def best_priced(
    variant: Variant, order: NDArray[np.int8], prices: NDArray[np.float64], key: np.uint64
) -> float:
    """The largest score minus price: exactly on `mini`, the best that was found on `standard`."""
    if variant == MINI:
        return enumerated(variant, order, prices)[1]
    keys = game_keys(int(key) % 2**63, ANNEALINGS)
    return max(annealed(variant, order, prices, again, SWAPS)[1] for again in keys)


def read_results(path: Path, variant: Variant) -> dict[str, Any]:
    """What was found so far: for each order, by its place, the two figures in points."""
    if path.exists():
        found: dict[str, Any] = json.loads(path.read_text())
        if found["seed"] == SEED and found["variant"] == variant.name:
            return found
        raise SystemExit(f"{path} holds other orders: move it away")
    return {"variant": variant.name, "seed": SEED, "perfect_information": [], "line_price": []}


def main() -> None:
    """Solve the orders not yet in the results, then say what all of them come to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--variant", choices=sorted(VARIANTS), default="standard")
    parser.add_argument("--orders", type=int, default=300, help="how many in all")
    arguments = parser.parse_args()
    variant = variant_named(arguments.variant)
    path = RESULTS / f"upper_bound_{variant.name}.json"
    found = read_results(path, variant)
    theta = fitted(variant)

    done = len(found["line_price"])
    keys = game_keys(SEED, arguments.orders)[done:]
    orders = draw_orders(variant, keys)
    with counting("orders", len(orders)) as count:
        for key, order, surprise in zip(keys, orders, surprises(variant, orders), strict=True):
            known = best_known_score(variant, order)
            priced = best_priced(variant, order, prices_until(theta, surprise), key)
            found["perfect_information"].append(known)
            found["line_price"].append(round(priced, 3))
            write_json(path, found)
            count(1)

    proven = "a bound" if variant == MINI else "not proven, no bound"
    print(f"{variant.name}, {len(found['line_price'])} orders of seed {SEED}")
    print(f"perfect information  {estimate(found['perfect_information'])}")
    print(f"with the line price  {estimate(found['line_price'])}  ({proven})")
    if variant == MINI:
        print(f"perfect play         {solve(MINI).optimum:.3f}")


if __name__ == "__main__":
    main()
