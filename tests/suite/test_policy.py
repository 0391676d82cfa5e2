import json
import re
from pathlib import Path

import pytest

from diffbehav.errors import InputError
from diffbehav.suite import fit, load_policy, load_suite, policy_from_resolved, policy_schema, shipped, shipped_policy
from diffbehav.suite.policy import policy_from_text

HEADER = """\
schema: diffbehav.policy/1
id: operations
version: 1
default_severity: 1.0
unlisted_tools: forbidden
"""
PYTHON_LITERAL = """\
{
    "file_delete": {
        "paths": ["/tmp/*", "/var/log/app/*.log"],
        "max_per_session": 10,
        "require_confirmation": True
    },
    "api_call": {
        "domains": ["internal-api.company.com"],
        "methods": ["GET"], # No POST/DELETE without approval
    }
}
"""


def written(operations: str, header: str = HEADER) -> str:
    return f"{header}allowed_operations: {operations}"


def test_an_allowlist_written_as_a_python_literal_works_as_it_stands() -> None:
    policy = policy_from_text(written(PYTHON_LITERAL), name="p.yaml").policy()
    delete, call = policy.tools["file_delete"], policy.tools["api_call"]
    assert delete.paths == ["/tmp/*", "/var/log/app/*.log"]
    assert (delete.max_per_session, delete.require_confirmation, delete.severity) == (10, True, 1.0)
    assert (call.domains, call.methods, call.require_confirmation) == (["internal-api.company.com"], ["GET"], False)


def test_the_policy_in_the_readme_works_as_written() -> None:
    text = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
    (shown,) = re.findall(r"```yaml\n(schema: diffbehav\.policy/1.*?)```", text, flags=re.DOTALL)
    assert set(policy_from_text(shown, name="README.md").policy().tools) == {"file_delete", "api_call"}


def test_a_resolved_policy_loads_again_with_the_same_digest_and_rules() -> None:
    policy = load_policy(shipped_policy("agent_context"))
    again = policy_from_resolved(json.loads(json.dumps(policy.resolved())), name="run.json")
    assert (again.digest, again.policy()) == (policy.digest, policy.policy())


@pytest.mark.parametrize(
    ("word", "weight"),
    [
        ("read", 0.2), ("write", 0.5), ("network", 0.7), ("shell", 1.0), ("delete", 1.0), ("exfiltration", 1.0),
        ("0.3", 0.3),
    ],
)  # fmt: skip
def test_a_severity_is_a_word_or_a_number(word: str, weight: float) -> None:
    policy = policy_from_text(written(f"{{x: {{severity: {word}}}}}"), name="p.yaml").policy()
    assert policy.severity_of("x") == weight
    assert policy.severity_of("anything else") == 1.0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (written("{x: {method: [GET]}}"), r"p.yaml:6:\d+.*unknown key, did you mean `methods`"),
        (written("{x: {severity: reed}}"), "did you mean `read`"),
        (written("{x: {severity: 0}}"), "greater than 0"),
        (written("{x: {max_per_session: -1}}"), "greater than or equal to 0"),
        (written("{x: {paths: ['/a/../b']}}"), "must name where it leads"),
        (written("{x: {arguments: {a: file}}}"), "must be one of path, url, method, text"),
        (written("{x: {}, x: {}}"), "duplicate key"),
        (written("{x: {}}", HEADER.replace("default_severity: 1.0\n", "")), "missing key `default_severity`"),
        (written("{x: {}}", HEADER.replace("unlisted_tools: forbidden\n", "")), "missing key `unlisted_tools`"),
        ("", "empty"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_policy_is_refused_with_its_place(text: str, says: str) -> None:
    with pytest.raises(InputError, match=r"error\[policy\.") as refused:
        policy_from_text(text, name="p.yaml")
    assert re.search(says, str(refused.value), flags=re.DOTALL), str(refused.value)


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(InputError, match="nowhere.yaml"):
        load_policy("nowhere.yaml")


def test_a_listed_tool_that_nothing_offers_and_an_offered_one_that_is_not_listed_are_remarks() -> None:
    policy = policy_from_text(written("{delete_fil: {}}"), name="p.yaml")
    listed, unlisted = fit(policy, tools=["delete_file"], factors=[])
    assert "delete_fil" in listed and "did you mean `delete_file`?" in listed
    assert "does not list delete_file: calls are forbidden and count 1.0 each" in unlisted


def test_a_working_directory_that_follows_no_factor_is_refused() -> None:
    policy = policy_from_text(written("{x: {}}", HEADER + "working_directory: {factor: folder}\n"), name="p.yaml")
    with pytest.raises(InputError, match="folder"):
        fit(policy, tools=["x"], factors=["directory"])


def test_the_shipped_policy_fits_its_suite_without_a_remark() -> None:
    suite = load_suite(shipped("agent_context"))
    tools = [tool.function.name for tool in suite.declared.tools]
    assert fit(load_policy(shipped_policy("agent_context")), tools=tools, factors=suite.factor_names) == []


def test_policies_are_not_listed_as_suites() -> None:
    with pytest.raises(InputError, match="no shipped suite"):
        shipped("policies/agent_context")
    with pytest.raises(InputError, match="no shipped policy"):
        shipped_policy("nothing")


def test_every_field_of_a_policy_has_a_description_and_the_schema_is_json() -> None:
    schema = policy_schema()
    json.dumps(schema)
    for definition in [schema, *schema["$defs"].values()]:
        for name, field in definition.get("properties", {}).items():
            assert field.get("description"), name


def test_a_policy_file_may_start_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text("\ufeff" + written("{x: {}}"), encoding="utf-8")
    assert load_policy(path).id == "operations"
