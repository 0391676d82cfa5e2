"""The dead-man's check: when the last night was finished."""

import re
from datetime import datetime, timedelta
from typing import NamedTuple

from diffbehav.errors import InputError
from diffbehav.nightly.folder import NightsFolder

UNITS = {"m": "minutes", "h": "hours", "d": "days"}


class Alive(NamedTuple):
    """Whether the nights go on, in words."""

    is_alive: bool
    said: str


def alive(nights: NightsFolder, *, within: str, now: datetime) -> Alive:
    """Whether a night was finished `within` a time such as `36h`; InputError where that is no time."""
    found = re.fullmatch(r"([1-9][0-9]{0,5})([mhd])", within)
    if found is None:
        raise InputError(f"--check {within!r} is no time; write a number and m, h or d: 36h")
    most = timedelta(**{UNITS[found[2]]: int(found[1])})
    finished = nights.nights()
    if not finished:
        return Alive(False, f"no night was ever finished in {nights.path}")
    last = max(finished, key=lambda night: datetime.fromisoformat(night["finished"]))
    age = now - datetime.fromisoformat(last["finished"])
    ended = f"with {last['exit_code']} ({last['result']})"
    said = f"the last night, {last['date']}, was finished at {last['finished']} {ended}"
    if age < timedelta(0):
        return Alive(False, f"{said}, which is in the future: look at the clock of this machine")
    hours = age.total_seconds() / 3600
    return Alive(age <= most, f"{said}, {hours:.1f} hours ago; {within} are allowed")
