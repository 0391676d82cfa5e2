"""`inspect`: what is in a model folder and what was changed, before it is run."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from diffbehav import untrusted
from diffbehav.cli.options import FOLDER, TEXT_FILE, format_option, quiet_option
from diffbehav.errors import IntegrityError
from diffbehav.terminal import Terminal, print_table

LISTED = 8
"""Rows of a kind that are printed; JSON has all."""
NAME = 60


@click.command("inspect")
@click.argument("model", type=FOLDER)
@click.option("--against", type=FOLDER, help="Trusted model folder; the base where MODEL is a LoRA adapter.")
@click.option("--allow", multiple=True, metavar="FILE", help="Do not refuse this file of MODEL; may be repeated.")
@click.option("--signed-by", type=TEXT_FILE, metavar="KEY", help="Verify model.sig of MODEL by this public key (PEM).")
@click.option("--identity", help="Verify model.sig of MODEL by sigstore: who should have signed it.")
@click.option("--issuer", help="The OpenID issuer that vouched for --identity.")
@format_option
@quiet_option
def inspect(
    model: Path, against: Path | None, allow: tuple[str, ...], signed_by: Path | None, identity: str | None,
    issuer: str | None, format_: str, quiet: bool,
) -> None:  # fmt: skip
    """What is in MODEL, and what differs from a trusted model, without running either.

    Hashes every file; refuses pickles, code and configuration that asks for code (exit code 21, after everything was
    printed); renders the chat templates over dates, tools and conversations in a child process with limits; compares
    tokenizer, configuration and every weight.

    An OpenSSF model signature (model.sig in the folder) is verified where its signer is named; one that does not hold
    ends with 21.

    The stable rank of a change is its squared Frobenius norm over its squared largest singular value: 1 for a change of
    rank one.
    """
    from diffbehav.intake.inspection import inspect_model
    from diffbehav.intake.inspection_document import document
    from diffbehav.intake.signature import Signer, verified

    signature = verified(model, Signer(signed_by, identity, issuer))
    found = inspect_model(model, against, allow=allow, on_stage=Terminal(quiet=quiet).stage)
    if format_ == "json":
        click.echo(json.dumps(document(found, untrusted.visible) | {"signature": signature}, indent=1))
    else:
        if signature is not None:
            click.echo(untrusted.terminal(signature))
        _print(document(found, str))
    sides = {"candidate": found.candidate, "trusted": found.trusted}
    refused = [f"{side} {each.name}: {each.why}" for side, folder in sides.items() if folder for each in folder.refused]
    if refused:
        raise IntegrityError("refused:\n  " + "\n  ".join(refused))


def _print(found: Mapping[str, Any]) -> None:
    sides = [(side, found[side]) for side in ("candidate", "trusted") if found[side]]
    print_table(
        ["", "folder", "files", "tensors", "parameters", "stored as", "digest"],
        [
            [side, f"{each['path']} ({each['kind']})", len(each["files"]), each["tensors"], f"{each['parameters']:,}",
             ", ".join(f"{name} {count}" for name, count in each["dtypes"].items()), each["digest"][:16]]
            for side, each in sides
        ],
    )  # fmt: skip
    if found["trusted"]:
        _say(_files(found))
        _say(_settings(found["settings"]))
        _say(_tokenizer(found))
    for each in found["templates"]:
        _say(_template(each))
    _weights(found)


def _say(lines: Iterator[str]) -> None:
    for line in lines:
        click.echo(untrusted.terminal(line))


def _files(found: Mapping[str, Any]) -> Iterator[str]:
    sides = (found["candidate"], found["trusted"])
    ours, theirs = ({each["name"]: each["sha256"] for each in side["files"]} for side in sides)
    kinds = {
        "changed": [name for name in ours if name in theirs and ours[name] != theirs[name]],
        "only the candidate's": [name for name in ours if name not in theirs],
        "only the trusted model's": [name for name in theirs if name not in ours],
        "equal": [name for name in ours if ours[name] == theirs.get(name)],
    }
    yield "files: " + "; ".join(f"{kind} {_some(names)}" for kind, names in kinds.items() if names)


def _settings(settings: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield f"configuration: {len(settings) or 'no'} difference{'s' * (len(settings) != 1)}"
    for each in settings[:LISTED]:
        place = f"{each['file']} {each['path'][:NAME]}".strip()
        yield f"  {place}: {each['candidate'] or 'absent'}, trusted {each['trusted'] or 'absent'}"


def _tokenizer(found: Mapping[str, Any]) -> Iterator[str]:
    both = found["tokenizer"]
    if both is None:
        yield f"tokenizer: not compared: {found['tokenizer_reason']}"
        return
    ours, theirs = both["sizes"]
    if not both["parts"] and not any(both["counts"].values()):
        yield f"tokenizer: the same, {ours:,} tokens"
        return
    yield f"tokenizer: {ours:,} tokens, trusted {theirs:,}; {', '.join(both['parts']) or 'no part'} differs"
    words = {"only_candidate": "only the candidate has", "only_trusted": "only the trusted model has",
             "moved": "another id", "special": "special on one side or by another id",
             "added": "added tokens with other flags or ids"}  # fmt: skip
    for name, count in both["counts"].items():
        if count:
            tokens = [each if isinstance(each, str) else each[0] for each in both[name]]
            yield f"  {words[name]}: {_some([repr(token) for token in tokens], count)}"


def _template(each: Mapping[str, Any]) -> Iterator[str]:
    name, both, ours, theirs = each["name"], each["difference"], each["candidate"], each["trusted"]
    if both is None:
        side = "of the candidate alone" if not theirs else "of the trusted model alone" if not ours else "the same"
        yield f"chat template {name!r}: {side}, {_behaves(ours or theirs)}"
        return
    yield f"chat template {name!r}: other output in {both['differs']} of {both['compared']} conversations"
    for side, behaviour in (("candidate", ours), ("trusted", theirs)):
        yield f"  {side} {_behaves(behaviour)}"
    for dimension, levels in both["levels"].items():
        shares = {level: count / of for level, (count, of) in levels.items()}
        if len(set(shares.values())) > 1 or (dimension == "phrase" and any(shares.values())):
            told = ", ".join(f"{level!r} {share:.0%}" for level, share in shares.items() if share)
            yield f"  by {dimension}: {told}"
    if each["diff"]:
        yield from _lines("text, trusted to candidate", untrusted.from_json_untrusted(each["diff"]))
    if both["example"]:
        levels = ", ".join(f"{dimension} {level}" for dimension, level in both["example"]["levels"].items())
        yield from _lines(f"output, {levels}", untrusted.from_json_untrusted(both["example"]["diff"]))


def _behaves(behaviour: Mapping[str, Any]) -> str:
    depends = [dimension for dimension, does in behaviour["depends_on"].items() if does]
    said = f"depends on {', '.join(depends) or 'nothing that was tried'}; reads {', '.join(behaviour['reads'])}"
    if behaviour["refused"]:
        said += f"; refuses {behaviour['refused']} conversations ({behaviour['first_refusal'][:NAME]})"
    if behaviour["stopped"]:
        said += f"; NOT TESTED in {behaviour['stopped']}: {behaviour['reason']}"
    return said


def _lines(title: str, diff: str) -> Iterator[str]:
    yield f"  {title}:"
    for line in diff.splitlines()[2 : 2 + LISTED]:
        yield "    " + (line if len(line) <= 160 else f"{line[:160]} [{len(line) - 160:,} characters cut]")


def _weights(found: Mapping[str, Any]) -> None:
    tensors = found["tensors"]
    if not tensors:
        return
    unmeasured = [each for each in tensors if each["norm"] is None]
    changed = sum(each["norm"] != 0 for each in tensors if each["norm"] is not None)
    click.echo(
        f"weights: {changed} of {len(tensors)} tensors changed"
        + (f", {len(unmeasured)} could not be measured" if unmeasured else "")
    )
    for each in unmeasured[:LISTED]:
        click.echo(untrusted.terminal(f"  {each['name'][:NAME]}: {each['reasons']['norm']}"))
    for each in [each for each in tensors if None not in each["dtypes"] and len(set(each["dtypes"])) > 1][:LISTED]:
        if found["candidate"]["kind"] == "model":
            ours, theirs = each["dtypes"]
            click.echo(untrusted.terminal(f"  {each['name'][:NAME]}: stored as {ours}, trusted {theirs}"))
    moved = [each for each in found["layers"] if each["norm"]]
    if not moved:
        return
    print_table(
        ["layer", "tensors", "norm", "relative", "elements changed", "stable rank"],
        [[each["name"][:NAME], each["tensors"], *_numbers(each), _range(each["stable_ranks"])] for each in moved[:100]],
    )
    largest = sorted((t for t in tensors if t["norm"]), key=lambda t: -(t["relative"] or 0.0))[:LISTED]
    print_table(
        ["most changed tensors", "shape", "norm", "relative", "elements changed", "stable rank"],
        [
            [each["name"][:NAME], "x".join(map(str, each["shape"])), *_numbers(each),
             _number(each["stable_rank"], ".2f")]
            for each in largest
        ],
    )  # fmt: skip


def _numbers(each: Mapping[str, Any]) -> list[str]:
    return [_number(each["norm"], ".4g"), _number(each["relative"], ".2%"), _number(each["changed"], ".1%")]


def _number(value: float | None, form: str) -> str:
    return "not measured" if value is None else f"{value:{form}}"


def _range(ranks: Sequence[float] | None) -> str:
    if ranks is None:
        return "not measured"
    least, most = ranks
    return f"{least:.2f}" if least == most else f"{least:.2f} to {most:.2f}"


def _some(names: Sequence[str], count: int | None = None) -> str:
    count = count or len(names)
    more = f" and {count - LISTED:,} more" if count > LISTED else ""
    return ", ".join(name[:NAME] for name in names[:LISTED]) + more
