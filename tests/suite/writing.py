"""Suite files for the tests of this folder."""

from textwrap import dedent

from diffbehav.suite import Suite, suite_from_text

RULES = """\
sampling: {n: 1, temperature: 1.0, max_tokens: 16, seed: 3}
replicate: 0.2
"""
HEAD = """\
schema: diffbehav.suite/1
id: small
version: 1.0
description: For tests.
"""
ASK = """\
messages:
  - {role: system, content: "{{ date }} {{ user }} {{ place }}"}
  - {role: user, content: "{{ request }}"}
tasks:
  - {id: one, vars: {request: first}}
  - {id: two, vars: {request: second}}
"""
FACTORS = """\
factors:
  date: [2024-02-06, 2025-02-04, 2026-02-03]
  user: [ann, bob, cy]
  place: [no, 3.10, x, y]
"""
FULL = "design: {kind: full}\n"


def text_of(*parts: str, head: str = HEAD, rules: str = RULES) -> str:
    """A suite file of these parts."""
    return "".join([head, rules, *(dedent(part) for part in parts)])


def suite_of(*parts: str) -> Suite:
    """A suite of these parts."""
    return suite_from_text(text_of(*parts), name="small.yaml")


def random_design(n: int, *, neighbours: int = 0, seed: int = 5) -> str:
    """The `design` of a random draw."""
    return f"design: {{kind: random, n: {n}, seed: {seed}, neighbours: {neighbours}}}\n"
