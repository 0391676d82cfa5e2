"""A million pairs of turns compared by their tool calls, beside DeepDiff and a plain loop on the same data.

Run as `python -m tests.benchmarks.calls [PAIRS]`.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from deepdiff import DeepDiff
from rapidfuzz.distance import Levenshtein
from scipy.optimize import linear_sum_assignment

from diffbehav.distance.calls import Turns, call_distances, comparing

PAIRS = 1_000_000
SHARES = {
    "identical": 0.88, "spelt otherwise": 0.04, "an argument differs": 0.05, "an extra call": 0.02, "another tool": 0.01
}  # fmt: skip
SAMPLES = {"DeepDiff": 2_000, "a plain loop": 20_000}
"""Pairs that the slower ones are timed on, the first of the same data."""
TOOLS = json.dumps(
    [
        {
            "type": "function",
            "function": {"name": name, "parameters": {"properties": {"mode": {"type": "integer", "default": 420}}}},
        }
        for name in ("write_file", "http_post")
    ]
)


class Pairs(NamedTuple):
    what: str
    candidate: list[str]
    trusted: list[str]


def turn(place: int) -> list[tuple[str, dict[str, Any]]]:
    """One call, in every third turn two, of the size that agents make."""
    path = f"/srv/reports/2026/{place % 97}/report-{place}.md"
    written = {"path": path, "content": f"Report {place}\n" * 3, "mode": 420, "tags": ["q3", str(place % 7)]}
    first = ("write_file", written)
    second = ("http_post", {"url": f"https://api.example.com/v1/items/{place}", "body": {"id": place, "ok": True}})
    return [first, second] if place % 3 == 0 else [first]


def spelt(calls: list[tuple[str, dict[str, Any]]], *, keys_sorted: bool = False) -> str:
    return json.dumps([{"name": name, "arguments": json.dumps(each, sort_keys=keys_sorted)} for name, each in calls])


def altered(place: int, kind: str) -> str:
    (tool, arguments), *rest = turn(place)
    if kind == "an argument differs":
        return spelt([(tool, arguments | {"path": arguments["path"] + ".bak"}), *rest])
    if kind == "an extra call":
        return spelt([(tool, arguments), *rest, ("http_post", {"url": "https://drop.example", "body": str(place)})])
    if kind == "another tool":
        return spelt([("delete_file", {"path": arguments["path"]}), *rest])
    return spelt(turn(place), keys_sorted=kind == "spelt otherwise")


def pairs(n: int, *, distinct: int, what: str) -> Pairs:
    rng = np.random.default_rng(0)
    kinds = rng.choice(list(SHARES), p=list(SHARES.values()), size=n).tolist()
    places = rng.integers(0, distinct, n).tolist() if distinct < n else list(range(n))
    trusted = [spelt(turn(place)) for place in places]
    candidate = [altered(place, kind) for place, kind in zip(places, kinds, strict=True)]
    return Pairs(what, candidate, trusted)


def ours(data: Pairs) -> None:
    n = len(data.candidate)
    sides = Turns(data.candidate, [None] * n), Turns(data.trusted, [None] * n)
    call_distances(*sides, tools_N=[TOOLS] * n, compare=comparing(severities={}, default_severity=1.0))


def parsed(text: str) -> list[dict[str, Any]]:
    return [{"name": call["name"], "arguments": json.loads(call["arguments"])} for call in json.loads(text)]


def deepdiff(data: Pairs) -> None:
    for candidate, trusted in zip(data.candidate, data.trusted, strict=True):
        DeepDiff(parsed(trusted), parsed(candidate), ignore_order=True)


def plain(data: Pairs) -> None:
    """What one writes first: parse both, pair the calls, walk the arguments."""
    for candidate, trusted in zip(data.candidate, data.trusted, strict=True):
        rows, columns = parsed(candidate), parsed(trusted)
        cost = np.array([[apart(row, column) for column in columns] for row in rows])
        chosen = linear_sum_assignment(cost)
        changes: list[str] = []
        for row, column in zip(*chosen, strict=True):
            differing(rows[row]["arguments"], columns[column]["arguments"], "$", changes)


def apart(a: dict[str, Any], b: dict[str, Any]) -> float:
    return 1.0 if a["name"] != b["name"] else value_apart(a["arguments"], b["arguments"])


def value_apart(a: Any, b: Any) -> float:
    if isinstance(a, dict) and isinstance(b, dict):
        keys = a.keys() | b.keys()
        return sum(value_apart(a[k], b[k]) if k in a and k in b else 1.0 for k in keys) / len(keys) if keys else 0.0
    if isinstance(a, list) and isinstance(b, list):
        return Levenshtein.normalized_distance([json.dumps(x) for x in a], [json.dumps(x) for x in b])
    if isinstance(a, str) and isinstance(b, str):
        return Levenshtein.normalized_distance(a, b)
    return float(a != b)


def differing(a: Any, b: Any, path: str, found: list[str]) -> None:
    if isinstance(a, dict) and isinstance(b, dict):
        for key in sorted(a.keys() | b.keys()):
            if key in a and key in b:
                differing(a[key], b[key], f"{path}.{key}", found)
            else:
                found.append(f"{path}.{key}")
    elif a != b:
        found.append(path)


def seconds(work: Callable[[Pairs], None], data: Pairs) -> float:
    """Processor time, which other work on the machine does not change; everything here runs in one thread."""
    start = time.process_time()
    work(data)
    return time.process_time() - start


def main() -> None:
    n = int(sys.argv[1]) if len(sys.argv) > 1 else PAIRS
    print(f"{n:,} pairs, " + ", ".join(f"{share:.0%} {kind}" for kind, share in SHARES.items()) + ", one core")
    others: dict[str, Callable[[Pairs], None]] = {"DeepDiff": deepdiff, "a plain loop": plain}
    for distinct, what in ((n, "every turn is met once"), (max(n // 50, 1), "every turn is met 50 times")):
        data = pairs(n, distinct=distinct, what=what)
        taken = seconds(ours, data)
        print(f"{what}: {taken:.1f} s, {n / taken:,.0f} pairs/s")
        for name, slower in others.items():
            part = Pairs(what, data.candidate[: SAMPLES[name]], data.trusted[: SAMPLES[name]])
            rate = len(part.candidate) / seconds(slower, part)
            print(f"  {name}: {rate:,.0f} pairs/s, ours {n / taken / rate:,.1f} times as fast")


if __name__ == "__main__":
    main()
