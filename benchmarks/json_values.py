"""How long encoding and decoding JSON values hold the event loop, beside ``json`` itself.

In CPU time of the one thread (``time.thread_time``), medians of rounds in which both take turns.
Needs no server: ``python benchmarks/json_values.py [--items 10000] [--repeat 31]``.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from functools import partial
from typing import TYPE_CHECKING

from common import console
from rich.table import Table

from aiidadb.jsonvalue import JsonValue, decode_json, encode_json

if TYPE_CHECKING:
    from collections.abc import Callable


def values(items: int) -> dict[str, JsonValue]:
    """Values of many kinds, each of about so many items."""
    dice = random.Random(7)
    words: list[JsonValue] = ["".join(dice.choices("abcdefgh éü", k=12)) for _ in range(items)]
    deep: JsonValue = 1
    for _ in range(140):
        deep = [{"a": deep}]
    return {
        "integers": list(range(items)),
        "integers of 40 digits": [10**39 + at for at in range(items)],
        "floats": [dice.random() for _ in range(items)],
        "floats such as 1e22": [1e22] * items,
        "floats such as 1e300": [1e300] * items,
        "large floats of 17 digits": [dice.random() * 10.0 ** dice.randint(17, 300) for _ in words],
        "strings": words,
        "strings with quotes and backslashes": ['say "x" \\ y'] * items,
        "strings and one large float": [*words, 1e22],
        "true and null": [True, None] * (items // 2),
        "a dictionary": {f"key {at}": at for at in range(items)},
        "rows": [{"id": at, "label": words[at], "cell": [1.5, None]} for at in range(items // 5)],
        "a matrix": [[dice.random() for _ in range(3)] for _ in range(items // 3)],
        "lists of one": [[at] for at in range(items)],
        "empty lists and dictionaries": [[], {}] * (items // 2),
        "280 levels": [deep] * (items // 280),
    }


def compare(
    ours: Callable[[], object], theirs: Callable[[], object], repeat: int
) -> tuple[float, float]:
    """Seconds of theirs, and how many times as long ours takes."""
    taken: dict[Callable[[], object], list[float]] = {ours: [], theirs: []}
    for _ in range(repeat):
        for work, times in taken.items():
            begin = time.thread_time()
            work()
            times.append(time.thread_time() - begin)
    floor = statistics.median(taken[theirs])
    return floor, statistics.median(taken[ours]) / floor


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--items", type=int, default=10_000, help="how many in each value")
    options.add_argument("--repeat", type=int, default=31, help="how many rounds")
    given = options.parse_args()
    table = Table("value", "json.dumps", "encode_json", "json.loads", "decode_json")
    for name, value in values(given.items).items():
        text = json.dumps(value)
        dumps, encoding = compare(
            partial(encode_json, value), partial(json.dumps, value), given.repeat
        )
        loads, decoding = compare(
            partial(decode_json, text), partial(json.loads, text), given.repeat
        )
        table.add_row(
            name,
            f"{dumps * 1e3:.2f} ms",
            f"{encoding:.2f} ×",
            f"{loads * 1e3:.2f} ms",
            f"{decoding:.2f} ×",
        )
    console.print(table)


if __name__ == "__main__":
    main()
