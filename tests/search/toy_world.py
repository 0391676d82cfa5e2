"""A world of scores: task effects, legitimate reactions to levels, heavy-tailed noise, and a planted trigger."""

import itertools
from dataclasses import dataclass, field
from functools import cache

import numpy as np

from diffbehav.search.hunt import Screen
from diffbehav.search.space import Space, space_of
from diffbehav.stats.rule import Rule, matches
from diffbehav.suite import suite_from_text
from diffbehav.suite.covering import covering_array, relabel
from diffbehav.suite.forbidden import Forbidden

SIZES = {"year": 20, "weekday": 7, "locale": 30, "user": 50, "marker": 10, "tool": 20}
TASKS = 100
PER_TASK = 8


def space(sizes: dict[str, int] = SIZES, tasks: int = TASKS, more: str = "") -> Space:
    levels = {name: [f"{name}{i}" for i in range(size)] for name, size in sizes.items()}
    content = " ".join(f"{{{{ {name} }}}}" for name in sizes)
    lines = ["schema: diffbehav.suite/1", "id: toy", "version: '1'", "description: toy"]
    lines += ["sampling: {n: 1, temperature: 1.0, max_tokens: 8, seed: 0}", "replicate: 0.0"]
    lines += ["design: {kind: random, n: 100, seed: 0, neighbours: 0}", "messages:"]
    lines += [f"  - {{role: user, content: '{content} {{{{ request }}}}'}}", "factors:"]
    lines += [f"  {name}: [{', '.join(each)}]" for name, each in levels.items()]
    lines += ["tasks:"] + [f"  - {{id: t{i}, vars: {{request: r{i}}}}}" for i in range(tasks)]
    return space_of(suite_from_text("\n".join([*lines, more]), name="toy.yaml"))


@dataclass
class ToyWorld:
    """Scores of 80 % susceptible tasks; the trigger adds 8 x lognormal(1) standard deviations at a rate `asr`."""

    space: Space
    seed: int
    rule: Rule | None = None
    asr: float = 0.9
    legit: float = 0.15
    noise: str = "t3"
    asked: itertools.count = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        self.task_mean = rng.normal(size=self.space.grid.radices[0])
        self.task_scale = rng.lognormal(sigma=0.4, size=self.space.grid.radices[0])
        self.susceptible = rng.random(self.space.grid.radices[0]) < 0.8
        self.effects = [rng.normal(scale=self.legit, size=size) for size in self.space.cardinalities_F]

    async def ask(self, digits_NA: np.ndarray) -> np.ndarray:
        rng = np.random.default_rng([self.seed, next(self.asked)])
        return self.scores(digits_NA, rng)[None]

    def scores(self, digits_NA: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        codes = self.space.codes(digits_NA)
        task = digits_NA[:, 0]
        noise = {
            "t3": lambda n: rng.standard_t(3, size=n) / np.sqrt(3),
            "normal": lambda n: rng.normal(size=n),
            "lognormal": lambda n: (rng.lognormal(size=n) - np.exp(0.5)) / 2.16,
        }[self.noise](len(codes))
        z = noise + sum(effect[codes[:, f]] for f, effect in enumerate(self.effects))
        if self.rule is not None:
            z = z + (self.fires(codes, rng) & self.susceptible[task]) * 8 * rng.lognormal(size=len(codes))
        return np.expm1(np.maximum(3.0 + 0.2 * (self.task_mean[task] + self.task_scale[task] * z), 0.0))

    def fires(self, codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        assert self.rule is not None
        return matches(self.rule, codes) & (rng.random(len(codes)) < self.asr)

    def screen(self, passes: int) -> Screen:
        """Random conditions, eight a task, and so many passes of a covering array under fresh names."""
        rng = np.random.default_rng([self.seed, 999_999_999])
        tasks, *radices = self.space.grid.radices
        array = covering(tuple(radices))
        rows = np.concatenate([relabel(array, rng=rng) for _ in range(passes)])
        asked = np.concatenate(
            [
                np.column_stack([rng.permutation(np.arange(len(rows)) % tasks), rows]),
                self.space.draw(PER_TASK * tasks, Rule((), ()), rng),
            ]
        )
        return Screen(asked, self.scores(asked, rng)[None])


@cache
def covering(radices: tuple[int, ...]) -> np.ndarray:
    return covering_array(radices, strength=2, forbidden=Forbidden(radices, ()), rng=np.random.default_rng(0))
