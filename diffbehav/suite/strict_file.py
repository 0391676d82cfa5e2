"""A configuration file: from strict YAML to a checked model."""

from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from diffbehav.errors import InputError
from diffbehav.suite.invalid import invalid_fields
from diffbehav.suite.problems import Source, refusal, show_at
from diffbehav.suite.strict_yaml import YamlError, parse

Content = TypeVar("Content", bound=BaseModel)


def load_file(path: Path, content: type[Content], *, noun: str) -> tuple[Content, Source]:
    """The YAML file `path` as `content`, and where its keys stand; InputError shows all that is wrong with it."""
    try:
        text = path.read_bytes().decode("utf-8").removeprefix("\ufeff")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"error[{noun}.unreadable]: {path}  {error}\n  fix: name a {noun} file in UTF-8") from error
    try:
        root = parse(text)
    except YamlError as error:
        bare = Source(name=str(path), text=text, root=None)
        shown = show_at(bare, id=f"{noun}.yaml", place=error.place, path="", reason=error.reason, fix=error.remedy)
        raise InputError(shown) from error
    source = Source(name=str(path), text=text, root=root)
    try:
        return content.model_validate(root.value()), source
    except ValidationError as error:
        raise refusal(source, invalid_fields(error, noun=noun, schema=file_schema(content, noun=noun))) from error


def file_schema(content: type[BaseModel], *, noun: str) -> dict[str, Any]:
    """JSON Schema (2020-12) of a file with this content."""
    schema = content.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": f"diffbehav {noun}"}
