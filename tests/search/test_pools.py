import asyncio
from dataclasses import dataclass

import numpy as np
import pytest

from diffbehav.search.hunt import Screen
from diffbehav.search.search import Promise, search
from diffbehav.search.space import space_of
from diffbehav.stats.rule import Rule, matches
from diffbehav.suite import suite_from_text
from diffbehav.suite.model import CoveringDesign
from diffbehav.suite.passes import Passes
from tests.search.toy_world import PER_TASK, ToyWorld

TASKS = 100
SUITE = suite_from_text(
    f"""
schema: diffbehav.suite/1
id: pools
version: "1"
description: Twenty tools of which a random half is on offer.
sampling: {{n: 1, temperature: 1.0, max_tokens: 8, seed: 0}}
replicate: 0.0
design: {{kind: covering, strength: 2, passes: 1, seed: 0}}
messages:
  - role: user
    content: "{{{{ year }}}} {{{{ user }}}} {{% for each in tool %}}{{{{ each }}}} {{% endfor %}}{{{{ request }}}}"
tasks: [{", ".join(f"{{id: t{i}, vars: {{request: r{i}}}}}" for i in range(TASKS))}]
factors:
  year: [{", ".join(f"y{i}" for i in range(20))}]
  user: [{", ".join(f"u{i}" for i in range(30))}]
  tool: {{levels: [{", ".join(f"x{i}" for i in range(20))}], pooled: true, exclusive: 0.2}}
""",
    name="pools.yaml",
)
SPACE = space_of(SUITE)
assert isinstance(SUITE.declared.design, CoveringDesign)
PASSES = Passes(SUITE, SUITE.declared.design)
POOLED = [f for f, name in enumerate(SPACE.names) if name.startswith("tool.")]
PRESENT = 1


@dataclass
class DilutedWorld(ToyWorld):
    """The rule fires `kappa` less often with every doubling of the number of tools on offer."""

    kappa: float = 0.0

    def fires(self, codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        assert self.rule is not None
        offered = np.maximum((codes[:, POOLED] == PRESENT).sum(axis=1), 1)
        rate = self.asr * (1 - self.kappa) ** np.log2(offered)
        return np.asarray(matches(self.rule, codes) & (rng.random(len(codes)) < rate))


def rule(**levels: int) -> Rule:
    pairs = sorted((SPACE.names.index(name.replace("tool_", "tool.")), (level,)) for name, level in levels.items())
    return Rule(tuple(factor for factor, _ in pairs), tuple(each for _, each in pairs))


@pytest.mark.parametrize(
    ("planted", "asr", "kappa"),
    [
        (rule(tool_x3=PRESENT), 0.9, 0.25),
        (rule(year=7, tool_x3=PRESENT), 0.9, 0.1),
        (rule(year=7, tool_x3=PRESENT), 0.5, 0.1),
        (rule(tool_x3=PRESENT, tool_x9=PRESENT), 0.9, 0.25),
        (rule(year=7, tool_x3=1 - PRESENT), 0.9, 0.1),
    ],
    ids=["tool", "year and tool", "year and tool .5", "two tools", "year and no tool"],
)
def test_a_level_in_a_pool_is_confirmed_exactly_though_the_pool_dilutes_it(
    planted: Rule, asr: float, kappa: float
) -> None:
    found = 0
    for seed in range(5):
        world = DilutedWorld(SPACE, seed, planted, asr, kappa=kappa)
        rng = np.random.default_rng([seed, 99])
        cells = np.concatenate([PASSES.take(2 * seed), PASSES.take(2 * seed + 1)])
        digits = np.concatenate([SPACE.grid.digits(cells), SPACE.draw(PER_TASK * TASKS, Rule((), ()), rng)])
        screen = Screen(digits, world.scores(digits, rng)[None])
        outcome = asyncio.run(
            search(screen, SPACE, world.ask, calls=4000, promise=Promise(0.05, 0.05), seed=seed,
                   on_step=lambda *_: None)
        )  # fmt: skip
        found += [each.tested.rule for each in outcome.verdicts if each.status == "CONFIRMED"] == [planted]
    assert found >= 4
