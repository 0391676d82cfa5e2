"""The checks of a gated run as JUnit XML: a case for each, never for a condition."""

from xml.etree import ElementTree

from diffbehav.report.gate import Gated
from diffbehav.untrusted import visible

ELEMENTS = {"divergent": "failure", "inconclusive": "error", "invalid": "error"}


def junit(gated: Gated) -> str:
    """The document; what is divergent is a failure, what is inconclusive or invalid an error."""
    counts = {word: sum(ELEMENTS.get(check.result) == word for check in gated.checks) for word in ("failure", "error")}
    suite = ElementTree.Element(
        "testsuite", name=visible(f"diffbehav gate {gated.run_id}"), tests=str(len(gated.checks)),
        failures=str(counts["failure"]), errors=str(counts["error"]),
    )  # fmt: skip
    for check in gated.checks:
        case = ElementTree.SubElement(suite, "testcase", classname="diffbehav.gate", name=visible(check.name))
        if check.result in ELEMENTS:
            ElementTree.SubElement(case, ELEMENTS[check.result], type=check.result, message=visible(check.reason))
        else:
            ElementTree.SubElement(case, "system-out").text = visible(check.reason)
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"
