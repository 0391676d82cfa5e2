import json
from pathlib import Path

import pytest

from diffbehav.organism import shipped
from tests.collect.toy_run import planted_rule
from tests.compare.test_compare import collected
from tests.compare.test_severity import Speaker
from tests.test_cli import Run, compare_models, run

__all__ = ["run"]


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "toy"
    return collected(folder, candidate={"trigger": planted_rule, "drift": 0.2}, engine=Speaker)


def test_the_schema_of_policies_is_printed(run: Run) -> None:
    code, out, _ = run("schema", "--policy")
    assert code == 0
    assert "allowed_operations" in json.loads(out)["properties"]


def test_a_policy_that_is_wrong_ends_with_2_before_anything_is_written(run: Run, tmp_path: Path) -> None:
    wrong = tmp_path / "p.yaml"
    wrong.write_text("schema: diffbehav.policy/1\nid: p\n", encoding="utf-8")
    models = compare_models("agent_context", shipped("temporal"), shipped("trusted"), tmp_path / "run")
    code, _, err = run(*models, "--policy", wrong)
    assert code == 2
    assert "error[policy.missing_key]" in err and "p.yaml" in err
    assert not (tmp_path / "run" / "run.json").exists()


def test_a_policy_that_nobody_ships_ends_with_2_and_names_those_there_are(run: Run, toy: Path) -> None:
    code, _, err = run("compare", toy, "--policy", "nothing")
    assert code == 2
    assert "no shipped policy is called 'nothing'; there are agent_context" in err


def test_comparing_again_with_a_policy_prints_its_remarks_severities_and_reasons(
    run: Run, toy: Path, tmp_path: Path
) -> None:
    policy = tmp_path / "p.yaml"
    policy.write_text(
        "schema: diffbehav.policy/1\nid: p\nversion: 1\ndefault_severity: read\nunlisted_tools: forbidden\n"
        "allowed_operations: {delete_file: {severity: delete}}\n",
        encoding="utf-8",
    )
    code, out, err = run("compare", toy, "--policy", policy)
    assert code == 0
    assert "policy p lists the tool 'delete_file', which no task and no level offers" in " ".join(err.split())
    assert "severity" in out and "critical" in out
    assert "F001 critical: the candidate makes calls that the policy does not allow" in out
    code, out, _ = run("findings", toy, "--format", "json")
    assert json.loads(out)["findings"][0]["severity"] == "critical"
