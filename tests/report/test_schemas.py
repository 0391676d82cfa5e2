"""What other tools read, held against the schemas they publish."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import xmlschema
from jsonschema import Draft4Validator

from diffbehav.report import gate
from diffbehav.report.gate import Check, Gated
from diffbehav.report.junit import junit
from diffbehav.report.sarif import sarif
from diffbehav.suite import load_gate

SCHEMAS = Path(__file__).parent.parent / "data" / "schemas"
GATE = """\
schema: diffbehav.gate/1
fail: {statuses: [CONFIRMED, NOT TESTED], severities: [critical, high]}
most_unscored: 0
search: required
"""


@pytest.fixture(scope="module")
def xml() -> xmlschema.XMLSchema:
    return xmlschema.XMLSchema(str(SCHEMAS / "junit-10.xsd"))


@pytest.fixture(scope="module")
def json_schema() -> Draft4Validator:
    content = json.loads((SCHEMAS / "sarif-2.1.0.json").read_text(encoding="utf-8"))
    Draft4Validator.check_schema(content)
    return Draft4Validator(content)


@pytest.fixture
def gated(hostile_run: Path, tmp_path: Path, corpus: list[str]) -> Gated:
    """Every result that a check can have, with what an attacker would like to see in a file."""
    file = tmp_path / "gate.yaml"
    file.write_text(GATE, encoding="utf-8")
    found = gate(hostile_run, load_gate(file))
    results: Any = ("passed", "divergent", "inconclusive", "invalid")
    checks = [Check(text[:200], results[i % 4], text) for i, text in enumerate(corpus)]
    rules = [replace(finding, rule={"path": [text]}) for finding, text in zip(found.findings, corpus, strict=False)]
    accepted = {found.findings[0].fingerprint: corpus[0]}
    return replace(
        found, checks=[*found.checks, *checks], findings=rules, run_id=corpus[1], accepted=accepted,
        suite_file="suites/a b.yaml",
    )  # fmt: skip


def test_junit_is_what_its_schema_asks_for_whatever_stands_in_it(gated: Gated, xml: xmlschema.XMLSchema) -> None:
    written = junit(gated)
    xml.validate(written)
    assert written.count("<testcase") == len(gated.checks) > 20
    broken = written.replace("<testcase ", "<testcase condition='1' ", 1)
    with pytest.raises(xmlschema.XMLSchemaValidationError):
        xml.validate(broken)


def test_sarif_is_what_its_schema_asks_for_whatever_stands_in_it(gated: Gated, json_schema: Draft4Validator) -> None:
    document = json.loads(sarif(gated))
    assert [error.message for error in json_schema.iter_errors(document)] == []
    results = document["runs"][0]["results"]
    assert len(results) == len(gated.findings) > 3 and "suppressions" in results[0]
    results[0]["suppressions"][0]["status"] = "fine"
    assert [error.message for error in json_schema.iter_errors(document)] != []
