"""Rules under which the candidate's code has findings beyond the trusted model's more often: counted, not screened."""

from typing import ClassVar

import numpy as np

from diffbehav.compare.rules import is_listed
from diffbehav.search.calibration import Channels, Measure
from diffbehav.search.hunt import INTERVAL_LEVEL, MOST_SCANNED, Hunt
from diffbehav.search.oracle import Oracle
from diffbehav.search.space import NoContextError
from diffbehav.stats.peel import peel
from diffbehav.stats.rule import Rule, matches


class CodeRate:
    """A condition fires where the candidate's code has any finding beyond the trusted model's: the last channel."""

    measure: ClassVar[Measure] = "code_finding_excess"

    def score(self, channels_HN: Channels, *, task_N: np.ndarray) -> np.ndarray:
        """float64 [N]: the excess, NaN where code could not be read. An answer without code has no finding in it."""
        del task_N
        return np.asarray(channels_HN[-1])

    def threshold(self, quantile: float) -> float:
        """0 whatever the quantile: findings are counted, and one more is more."""
        del quantile
        return 0.0


async def try_code_rates(hunt: Hunt, oracle: Oracle) -> None:
    """Confirm what a scan of the excess proposes, in the contexts that no confirmed rule explains."""
    for rule in _proposed(hunt):
        oracle.calibration = CodeRate()
        oracle.space = hunt.space.beside([each.rule for each in hunt.confirmed()])
        try:
            await hunt.confirm(rule, 0.0, oracle)
        except NoContextError:
            hunt.left_open += 1


def _proposed(hunt: Hunt) -> list[Rule]:
    if hunt.screen.excess_C is None:
        return []
    excess_C = hunt.screen.excess_C.copy()
    for each in hunt.confirmed():
        excess_C[matches(each.rule, hunt.codes_CF)] = np.nan
    scanned = peel(
        hunt.codes_CF, cardinalities_F=hunt.space.cardinalities_F, score_C=excess_C,
        task_C=hunt.screen.digits_CA[:, 0], max_rules=MOST_SCANNED, interval_level=INTERVAL_LEVEL,
    )  # fmt: skip
    rules = [each.candidate.rule for each in scanned if is_listed(each)]
    return [rule for rule in rules if not hunt.is_tested(rule, CodeRate.measure)]
