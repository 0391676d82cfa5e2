"""The declarations of a suite file, field by field."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag

from diffbehav.suite.fields import Date, FreeJson, OneOrMore, Real, Strict, Text, Whole, Written, core
from diffbehav.suite.world import WorldTable

SCHEMA = "diffbehav.suite/1"

Name = Annotated[Written, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100)]
Part = Literal["year", "month", "weekday", "quarter", "day"]


class Function(Strict):
    """What the model is told about a tool."""

    name: Name = Field(description="Name the model calls.", examples=["read_file"])
    description: Text = Field(
        description="What the tool does, as the model reads it.", examples=["Read a text file."]
    )
    parameters: FreeJson = Field(
        description="JSON Schema of the arguments; sent as it stands.",
        examples=[{"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}],
    )


class ToolDefinition(Strict):
    """A tool in the format of the OpenAI API."""

    type: Literal["function"] = Field(description="Always `function`.", examples=["function"])
    function: Function = Field(
        description="The function itself.",
        examples=[{"name": "now", "description": "The time.", "parameters": {}}],
    )


class PastCall(Strict):
    """A call the assistant has made earlier in the conversation."""

    name: Name = Field(description="The tool that was called.", examples=["read_file"])
    arguments: FreeJson = Field(
        description="Its arguments; texts inside are templates.",
        examples=[{"path": "{{ directory }}/notes.txt"}],
    )


class MessageTemplate(Strict):
    """One message; its content is a Jinja template over the factors and the task's vars."""

    role: Literal["system", "user", "assistant", "tool"] = Field(
        description="Who speaks. `tool` answers the calls of the assistant message before it, in order.",
        examples=["system"],
    )
    content: Text = Field(description="Jinja template of the text.", examples=["Today is {{ date }}."])
    tool_calls: list[PastCall] = Field(
        default=[],
        description="Calls of an assistant message.",
        examples=[[{"name": "read_file", "arguments": {"path": "notes.txt"}}]],
    )


def _turns(messages: list[MessageTemplate]) -> list[MessageTemplate]:
    """Each tool message answers a call, and the model is the one to speak next."""
    waiting = 0
    for position, message in enumerate(messages):
        if message.tool_calls and message.role != "assistant":
            raise ValueError(
                f"message {position} has tool_calls but its role is {message.role!r}, not 'assistant'"
            )
        if message.role == "tool":
            waiting -= 1
            if waiting < 0:
                raise ValueError(
                    f"message {position} has the role 'tool' but answers no call of an assistant message"
                )
        else:
            waiting = len(message.tool_calls)
    if messages[-1].role not in ("user", "tool"):
        raise ValueError(f"the last message has the role {messages[-1].role!r}; end with 'user' or 'tool'")
    return messages


Messages = Annotated[list[MessageTemplate], Field(min_length=1), AfterValidator(_turns)]


class Task(Strict):
    """Something the model is asked to do."""

    id: Name = Field(description="Name of the task in results.", examples=["read_notes"])
    vars: dict[str, Written] = Field(
        default={},
        description="Further template variables of this task, taken literally.",
        examples=[{"request": "Show me notes.txt."}],
    )
    messages: Messages | None = Field(
        default=None,
        description="Messages of this task; the suite's `messages` where absent.",
        examples=[[{"role": "user", "content": "It is {{ date }}. Show me notes.txt."}]],
    )
    tools: list[Written] = Field(
        default=[],
        description="Tools offered in every condition of this task; sent in the order of the suite's.",
        examples=[["read_file", "list_directory"]],
    )


class LevelList(Strict):
    """A factor with its levels written out."""

    levels: list[Written] = Field(
        min_length=1,
        description="The levels, as written: no quotes needed.",
        examples=[["en_US", "no", "2026-01-01"]],
    )
    offers: dict[str, OneOrMore] = Field(
        default={},
        description="Tools that a level offers beside the task's own.",
        examples=[{"delete": ["delete_file"]}],
    )


class PooledList(LevelList):
    """A factor whose levels can share one context, such as tools on offer, users of a roster, paths, markers.

    A condition holds a set of the levels. Each level is an axis of its own, named `factor.level`, with the levels
    `absent` and `present`: exclusions, results and rules speak of `tool.delete_file: present`. Templates see one list
    under the factor's name, the levels that are present, in the order written here; `offers` adds up over them.
    """

    pooled: Annotated[Literal[True], BeforeValidator(core)] = Field(
        description="A condition holds a random half of the levels: each is present in every second condition.",
        examples=[True],
    )
    exclusive: Real = Field(
        ge=0,
        lt=1,
        description="Share of drawn conditions that hold exactly one of the levels instead (not in a full design).",
        examples=[0.2],
    )


class DateRange(Strict):
    """A factor whose levels are the dates from `from` up to `to`, `step` days apart."""

    kind: Literal["date_range"] = Field(description="Marks a range of dates.", examples=["date_range"])
    start: Date = Field(alias="from", description="First date.", examples=["2024-01-01"])
    to: Date = Field(description="Last date, included where a step lands on it.", examples=["2027-12-31"])
    step: Whole = Field(ge=1, description="Days from one level to the next.", examples=[7])


# Methods of vLLM that need no quantised checkpoint and reach every linear layer. Those for experts alone leave another
# model as it is without a word.
Quantization = Literal["fp8", "fp8_per_tensor", "fp8_per_channel", "fp8_per_block", "mxfp8", "mxfp4"]


class EngineSetting(Strict):
    """How vLLM serves both models at a level. Each value changes what the numbers mean, so none has a default."""

    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        description="What weights are kept and computed in.", examples=["bfloat16"]
    )
    enforce_eager: Annotated[bool, BeforeValidator(core)] = Field(
        description="`true`: kernel by kernel; `false`: compiled, on a GPU with CUDA graphs too.", examples=[True]
    )
    quantization: Annotated[Quantization | None, BeforeValidator(core)] = Field(
        description="How weights are quantised as they are loaded; `null`: not at all, and so on a CPU.",
        examples=["fp8"],
    )


class EngineFactor(Strict):
    """A factor over how models are served. Both sides are served with the setting of the condition's level.

    It is no template variable: the models do not see it.
    """

    kind: Literal["engine"] = Field(description="Marks engine settings.", examples=["engine"])
    levels: dict[str, EngineSetting] = Field(
        min_length=1,
        description="Level -> setting; each level takes an engine a side, and all are open at once.",
        examples=[{"eager": {"dtype": "bfloat16", "enforce_eager": True, "quantization": None}}],
    )


def _bare_list(value: Any) -> Any:
    return {"levels": value} if isinstance(value, list) else value


def _factor_kind(value: Any) -> str:
    keys = value if isinstance(value, dict) else getattr(value, "model_fields_set", ())
    if "kind" in keys:
        kind = value["kind"] if isinstance(value, dict) else value.kind
        return "engine" if kind == "engine" or (kind != "date_range" and "levels" in keys) else "date_range"
    return "pooled_list" if "pooled" in keys else "level_list"


Factor = Annotated[
    Annotated[Annotated[LevelList, BeforeValidator(_bare_list)], Tag("level_list")]
    | Annotated[PooledList, Tag("pooled_list")]
    | Annotated[DateRange, Tag("date_range")]
    | Annotated[EngineFactor, Tag("engine")],
    Discriminator(_factor_kind),
]


class Derived(Strict):
    """A factor computed from a date factor: a template variable, and an axis of the results."""

    source: Written = Field(alias="from", description="The date factor.", examples=["date"])
    part: Part = Field(
        description="year `2026`, month `01`-`12`, weekday `Monday`, quarter `Q1`-`Q4`, day `01`-`31`.",
        examples=["weekday"],
    )


class SamplingTable(Strict):
    """How answers are drawn. Each value changes what the numbers mean, so none has a default."""

    n: Whole = Field(ge=1, description="Answers per condition and side.", examples=[1])
    temperature: Real = Field(
        ge=0, description="0 is greedy, 1 the model's own distribution.", examples=[1.0]
    )
    max_tokens: Whole = Field(ge=1, description="An answer is cut after this many tokens.", examples=[256])
    seed: Whole = Field(
        ge=0, description="Seed of all answers; both sides get the same per request.", examples=[0]
    )


class FullDesign(Strict):
    """Every cell of the grid."""

    kind: Literal["full"] = Field(description="Every cell that no exclusion forbids.", examples=["full"])


class RandomDesign(Strict):
    """Cells drawn at random, with neighbours."""

    kind: Literal["random"] = Field(description="Cells drawn without replacement.", examples=["random"])
    n: Whole = Field(ge=1, description="Conditions in all, neighbours included.", examples=[2400])
    seed: Whole = Field(ge=0, description="Seed of the draw.", examples=[0])
    neighbours: Whole = Field(
        ge=0,
        description="Cells each drawn cell brings along: same task, one declared factor differs.",
        examples=[1],
    )


class CoveringDesign(Strict):
    """Cells in which every combination of levels of any 2 or 3 factors occurs, several times over.

    Pooled levels are factors of their own here, present or absent. Tasks are no factor: they are dealt out at random,
    each equally often, so a combination meets another task in every pass. Derived factors follow their source.
    """

    kind: Literal["covering"] = Field(description="Cells of a covering array.", examples=["covering"])
    strength: Annotated[Literal[2, 3], BeforeValidator(core)] = Field(
        description="Factors of which every combination of levels is asked.", examples=[2]
    )
    passes: Whole = Field(
        ge=1,
        description="Times that every combination is asked, each time with other levels of the other factors.",
        examples=[3],
    )
    seed: Whole = Field(ge=0, description="Seed of the draw.", examples=[0])


Design = Annotated[FullDesign | RandomDesign | CoveringDesign, Field(discriminator="kind")]


class SuiteFile(Strict):
    """A suite: what is asked, under which circumstances, and how answers are drawn."""

    schema_name: Literal["diffbehav.suite/1"] = Field(
        alias="schema", description="Version of this format.", examples=[SCHEMA]
    )
    id: Name = Field(description="Name of the suite.", examples=["agent_context"])
    version: Written = Field(description="Version of the suite's content.", examples=["1.0.0"])
    description: Text = Field(
        description="What the suite covers, and what it does not.", examples=["File tasks."]
    )
    tools: list[ToolDefinition] = Field(
        default=[],
        description="Every tool that a task or a level may offer.",
        examples=[
            [{"type": "function", "function": {"name": "now", "description": "Time.", "parameters": {}}}]
        ],
    )
    messages: Messages | None = Field(
        default=None,
        description="Messages of the tasks that declare none.",
        examples=[[{"role": "user", "content": "{{ request }}"}]],
    )
    tasks: list[Task] = Field(
        min_length=1,
        description="What the model is asked.",
        examples=[[{"id": "hello", "vars": {"request": "Hello"}}]],
    )
    factors: dict[str, Factor] = Field(
        min_length=1,
        description="The axes of the grid: name -> levels. Order matters: it numbers the cells.",
        examples=[{"locale": ["en_US", "no"]}],
    )
    derived: dict[str, Derived] = Field(
        default={},
        description="Factors computed from a date factor.",
        examples=[{"year": {"from": "date", "part": "year"}}],
    )
    exclude: list[Annotated[dict[str, OneOrMore], Field(min_length=1)]] = Field(
        default=[],
        description="Combinations that must not occur: factor (or derived, or `task`) -> level or levels. A pooled "
        "level is a factor: `tool.delete_file: present`.",
        examples=[[{"task": "delete_log", "extra_tool": "delete_file"}]],
    )
    max_turns: Whole = Field(
        default=1,
        ge=1,
        le=32,
        description="Turns of the model after which a conversation ends; more than 1 needs a `world`.",
        examples=[3],
    )
    world: WorldTable | None = Field(
        default=None,
        description="The simulated world that answers the model's calls, so that a conversation goes on.",
        examples=[
            {
                "files": {"/srv/notes.txt": "{{ marker }}"},
                "tools": {"now": {"effect": "reply", "result": "{{ date }}"}},
            }
        ],
    )
    sampling: SamplingTable = Field(
        description="How answers are drawn.",
        examples=[{"n": 1, "temperature": 1.0, "max_tokens": 256, "seed": 0}],
    )
    replicate: Real = Field(
        ge=0,
        le=1,
        description="Share of conditions the trusted model answers again with other seeds (noise floor).",
        examples=[0.2],
    )
    design: Design = Field(
        description="Which cells are asked.",
        examples=[{"kind": "random", "n": 2400, "seed": 0, "neighbours": 1}],
    )

    @property
    def sent_factors(self) -> list[str]:
        """The factors that templates may name: all but the one that sets the engine."""
        return [name for name, factor in self.factors.items() if not isinstance(factor, EngineFactor)]
