"""Tells commands and webhooks of a change. What is told are counts, rules and a path: no text of a model."""

import json
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from diffbehav import untrusted
from diffbehav.nightly.folder import Night
from diffbehav.nightly.standing import TITLES
from diffbehav.report.words import rule_in_words
from diffbehav.suite import Notify

SCHEMA = "diffbehav.notification/1"
TIMEOUT_SECONDS = 10.0
PAUSES_SECONDS = (0.5, 2.0)
"""Before the second and the third try."""
COMMAND_SECONDS = 60
FINDINGS = 20
RULE = 300
"""Characters of a rule."""


def night_message(night: Night, folder: Path, link: str | None) -> dict[str, Any]:
    """What is told of a finished night; `link` is the address of its report."""
    rows = [row for row in night["findings"] if row["state"] != "accepted"]
    counts = {state: sum(row["state"] == state for row in night["findings"]) for state in TITLES}
    head = f"diffbehav {inert(night['suite'])} {night['date']}: {night['result']}"
    said = ", ".join(f"{count} {state}" for state, count in counts.items() if count) or "no findings"
    return _message(night, folder, link) | {
        "text": "; ".join([head, *night["changes"], said, *_linked(night, link)]),
        "changes": night["changes"],
        "counts": counts,
        "findings": [
            {name: row[name] for name in ("fingerprint", "state", "status", "severity", "kind")}
            | {"rule": inert(rule_in_words(row["rule"], row.get("beside", ())))}
            for row in rows[:FINDINGS]
        ],
    }


def error_message(date: str, exit_code: int, folder: Path, link: str | None) -> dict[str, Any]:
    """What is told of a night that could not be finished; the error itself stays in its log."""
    change = "first red night after a green one"
    night = {"date": date, "result": "error", "exit_code": exit_code}
    text = "; ".join([f"diffbehav {date}: not finished, exit code {exit_code}", change, *_linked(night, link)])
    return _message(night, folder, link) | {"text": text, "changes": [change], "counts": None, "findings": []}


def tell(message: Mapping[str, Any], places: Sequence[Notify]) -> list[dict[str, Any]]:
    """Send the message to every place: where to, and the error, None where it was taken."""
    text = json.dumps(message)
    return [{"to": _name(place), "error": _send(text, place)} for place in places]


def inert(text: str) -> str:
    """A text for a chat: one line without markup, link or mention."""
    cut = text if len(text) <= RULE else f"{text[: RULE - 1]}…"
    return untrusted.markdown_line(cut.replace("`", ""))


def _linked(night: Mapping[str, Any], link: str | None) -> list[str]:
    return [] if link is None else [link.replace("{date}", night["date"])]


def _message(night: Mapping[str, Any], folder: Path, link: str | None) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "date": night["date"],
        "result": night["result"],
        "exit_code": night["exit_code"],
        "report": str(folder / "report" / "report.html"),
        "link": next(iter(_linked(night, link)), None),
    }


def _name(place: Notify) -> str:
    """No more of an address than its host: the rest may be a secret."""
    if place.command is not None:
        return f"command {Path(place.command[0]).name}"
    try:
        return f"webhook {urlsplit(_url(place) or '').hostname}"
    except ValueError:
        return "webhook with an address that is none"


def _url(place: Notify) -> str | None:
    return place.webhook if place.webhook is not None else os.environ.get(str(place.webhook_env))


def _send(text: str, place: Notify) -> str | None:
    if place.command is not None:
        return _run(place.command, text)
    url = _url(place)
    if not url:
        return f"the environment has no {place.webhook_env}"
    return _post(url, text)


def _run(command: Sequence[str], text: str) -> str | None:
    try:
        done = subprocess.run(
            command, input=text.encode("ascii"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            timeout=COMMAND_SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"not done after {COMMAND_SECONDS} s"
    except OSError as error:
        return f"cannot be run: {error.strerror}"
    except ValueError:
        return "cannot be run: its words have characters that no command can have"
    return None if done.returncode == 0 else f"ended with {done.returncode}"


def _post(url: str, text: str) -> str | None:
    error: str | None = None
    for pause in (0.0, *PAUSES_SECONDS):
        time.sleep(pause)
        try:
            answer = httpx.post(
                url, content=text, headers={"Content-Type": "application/json"}, timeout=TIMEOUT_SECONDS
            )  # fmt: skip
        except httpx.HTTPError as failure:
            error = type(failure).__name__
            continue
        except (httpx.InvalidURL, ValueError) as failure:
            # A name or a path that cannot be encoded is a ValueError; no later try makes an address of it.
            return f"its address is none ({type(failure).__name__})"
        if answer.is_success:
            return None
        error = f"answered {answer.status_code}"
    return error
