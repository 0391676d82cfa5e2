"""An engine over a model that a vLLM server serves somewhere: an OpenAI-compatible completions API."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from urllib.parse import urlsplit

import httpx

from diffbehav.errors import DiffbehavError, InfrastructureError, InputError, IntegrityError
from diffbehav.records import Completion, Prompt, Sampling, Score, request_seed
from diffbehav.serve.engine import NotServed
from diffbehav.serve.environment import prepare, quiet
from diffbehav.serve.link import AT_MOST, RESUMES, Link, Patience, Secret, Unusable, decoded, is_local, refusal
from diffbehav.serve.memo import Memo
from diffbehav.serve.rendering import Renderer
from diffbehav.serve.tool_format import chosen_format
from diffbehav.serve.wire import drawing, read_drawn, read_score, read_tokens, scoring, tokenising

if TYPE_CHECKING:
    from diffbehav.serve.tool_parser import ToolCallParser

NOT_SEEN = "not seen"
"""What a manifest says of that which a server does not show."""
_PATIENCE = Patience()
_COMPLETIONS = "completions"
_REMEMBERED_SCORES = 4096
_LOOK_SECONDS = 30.0
_NAMED = 10
_ADDED = 16
"""Added tokens, those with the highest ids, whose ids are compared."""
_WRITTEN = 'Hé said: {"path": "/srv/a_b", "n": [1, 2.50]}\n\tdef f(x): return x**2  # 東京 🙂 '


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A served model. The API key is no part of it: it stays in the environment."""

    url: str
    """Of the API, without a slash at its end: http://127.0.0.1:8000/v1."""
    model: str
    """As the server names it."""
    side: Literal["candidate", "trusted"]

    @property
    def address(self) -> str:
        """What a user names, and a manifest."""
        return f"{self.url}#{self.model}"

    @property
    def secret(self) -> Secret:
        """The API key of this side, from the environment; InputError where it cannot be one."""
        variable = f"DIFFBEHAV_{self.side.upper()}_API_KEY"
        return Secret(os.environ.get(variable), variable=variable)


class Served(NamedTuple):
    """What a server says of a model it serves."""

    endpoint: Endpoint
    context_length: int
    """Tokens of prompt and answer together that it takes."""
    version: str
    """Of vLLM, or `not seen`."""


def is_address(text: str) -> bool:
    """Whether this names a server and no folder."""
    return text.lower().startswith(("http://", "https://"))


def endpoint_of(address: str, side: Literal["candidate", "trusted"]) -> Endpoint:
    """`http://host:8000/v1#model`; InputError, which quotes no secret, for anything else."""
    named = f"--{side}"
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise InputError(f"{named}: an address that cannot be read; write http://host:8000/v1#model") from error
    if parts.username is not None or parts.password is not None or parts.query:
        raise InputError(
            f"{named}: the address holds a user name, a password or a query, which would be stored with the run; "
            f"leave it out and put an API key into DIFFBEHAV_{side.upper()}_API_KEY"
        )
    if not host or port == 0:
        raise InputError(f"{named} {address!r}: no host to ask; write http://host:8000/v1#model")
    if not parts.fragment:
        raise InputError(f"{named} {address!r}: name the model that the server serves behind a #, as in /v1#model")
    return Endpoint(f"{parts.scheme}://{parts.netloc}{parts.path}".rstrip("/"), parts.fragment, side)


def look_at(endpoint: Endpoint) -> Served:
    """Ask the server whether it serves the model; IntegrityError where it serves others."""
    secret = endpoint.secret
    local = is_local(endpoint.url)
    with httpx.Client(headers=secret.headers, timeout=_LOOK_SECONDS, trust_env=not local) as client:
        models = _listed(client, endpoint, secret)
        version = _version(client, endpoint, secret)
    found = next((each for each in models if each.get("id") == endpoint.model), None)
    if found is None:
        names = ", ".join(repr(secret.cut_from(str(each.get("id")))) for each in models[:_NAMED]) or "none"
        raise IntegrityError(f"{endpoint.url}: serves no model {endpoint.model!r}; it serves {names}")
    base = next((each for each in models if each.get("id") == found.get("parent")), {})
    # Of an adapter vLLM says the context of the model that it belongs to alone.
    length = found.get("max_model_len") or base.get("max_model_len")
    if type(length) is not int or length < 1:
        raise InputError(
            f"{endpoint.url}: does not say how many tokens {endpoint.model!r} takes (max_model_len); serve it with vLLM"
        )
    return Served(endpoint, length, version)


async def open_endpoint(
    endpoint: Endpoint, renderer: Renderer, *, max_model_len: int, top_k: int, tool_format: str,
    patience: Patience = _PATIENCE,
) -> "EndpointEngine":  # fmt: skip
    """An engine that has shown to know the tokenizer of `renderer` and to give `top_k` log-probabilities.

    IntegrityError for another tokenizer; InputError for a server that cannot score.
    """
    prepare()
    # vLLM reads the environment when it is imported, so not before prepare().
    with quiet():
        from diffbehav.serve.tool_parser import ToolCallParser

        parser = ToolCallParser(renderer.tokenizer, tool_format=chosen_format(tool_format, renderer))
    engine = EndpointEngine(
        endpoint, Link(endpoint.url, endpoint.secret, patience=patience), renderer=renderer, parser=parser,
        max_model_len=max_model_len, top_k=top_k,
    )  # fmt: skip
    try:
        await engine.check_tokenizer()
        await engine.check_scores()
    except DiffbehavError:
        await engine.close()
        raise
    return engine


class EndpointEngine:
    """One side of a comparison, asked over HTTP with token ids. All scores are of given tokens, own answers too."""

    def __init__(
        self, endpoint: Endpoint, link: Link, *, renderer: Renderer, parser: "ToolCallParser", max_model_len: int,
        top_k: int,
    ) -> None:  # fmt: skip
        self._endpoint = endpoint
        self._link = link
        self._renderer = renderer
        self._parser = parser
        self._max_model_len = max_model_len
        self._top_k = top_k
        self._scores: Memo[Score] = Memo(size=_REMEMBERED_SCORES)

    @property
    def restarts(self) -> int:
        """None: how often a server was started again is not seen from here."""
        return 0

    @property
    def at_once(self) -> int:
        """As many as it may be sent, and half as many that wait for their scores or for the other side."""
        return AT_MOST * 3 // 2

    async def complete(self, prompt: Prompt, sample: int, sampling: Sampling) -> Completion:
        """One sampled answer."""
        self._check_length(prompt, answer=sampling.max_tokens)
        seed = request_seed(prompt.condition_id, sample, sampling.seed, prompt.turn)
        asked = drawing(self._endpoint.model, prompt.ids, sampling, seed=seed)
        read = read_drawn(self._endpoint.model, prompt.ids, sampling.max_tokens)
        drawn = await self._link.ask(_COMPLETIONS, asked.body, read, most_bytes=asked.most_bytes)
        text = self._renderer.decode(drawn.token_ids)
        return self._parser.parse(text).completion(text, drawn.token_ids, finish_reason=drawn.finish_reason)

    async def score(self, prompt: Prompt, answer_ids: Sequence[int]) -> Score:
        """Log-probabilities of a given answer; the same answer is asked for once."""
        answer = tuple(answer_ids)
        return await self._scores.get((prompt.key, answer), lambda: self._score(prompt, answer))

    async def close(self) -> None:
        """Close the connections; the server goes on."""
        await self._scores.close()
        await self._link.close()

    async def check_tokenizer(self) -> None:
        """IntegrityError unless the server makes the same tokens of a text as the declared tokenizer does."""
        added = self._renderer.tokenizer.get_added_vocab()
        text = _WRITTEN + " ".join(sorted(added, key=added.__getitem__)[-_ADDED:])
        asked = tokenising(self._endpoint.model, text)
        theirs = await self._link.ask(
            _COMPLETIONS, asked.body, read_tokens(self._endpoint.model), most_bytes=asked.most_bytes
        )
        ours = self._renderer.encode(text)
        if theirs != ours:
            raise IntegrityError(
                f"{self._endpoint.address}: the server's tokenizer is not the declared one: it makes {len(theirs)} "
                f"tokens of a text that is {len(ours)} in the folder that was named; name the folder of the model that "
                "is served"
            )

    async def check_scores(self) -> None:
        """InputError where the server does not score given tokens, or has fewer alternatives than are wanted."""
        ids = self._renderer.encode(_WRITTEN)[:16]
        try:
            await self._score(Prompt("check", ids[:1]), tuple(ids[1:]))
        except InputError as error:
            raise InputError(
                f"{error}\nAnswers are scored by prompt_logprobs of {self._top_k} alternatives: start the server with "
                f"--max-logprobs {self._top_k}, or run with a lower --top-k"
            ) from error

    async def _score(self, prompt: Prompt, answer: tuple[int, ...]) -> Score:
        # Prompt log-probabilities come with one generated token, which takes a place of its own.
        self._check_length(prompt, answer=len(answer) + 1)
        ids = (*prompt.ids, *answer)
        asked = scoring(self._endpoint.model, ids, top_k=self._top_k)
        read = read_score(self._endpoint.model, ids, answer=len(answer), top_k=self._top_k)
        return await self._link.ask(_COMPLETIONS, asked.body, read, most_bytes=asked.most_bytes)

    def _check_length(self, prompt: Prompt, *, answer: int) -> None:
        if len(prompt.ids) + answer > self._max_model_len:
            raise NotServed(
                f"condition {prompt.condition_id}: {len(prompt.ids)} prompt tokens and {answer} more exceed "
                f"the context of {self._max_model_len} tokens; lower sampling.max_tokens or serve with a longer context"
            )


def _listed(client: httpx.Client, endpoint: Endpoint, secret: Secret) -> list[dict[str, Any]]:
    """What the server says it serves."""
    try:
        response = client.get(f"{endpoint.url}/models")
    except httpx.HTTPError as error:
        said = secret.cut_from(f"{type(error).__name__}: {error}")
        raise InfrastructureError(f"{endpoint.url}: no server answers there ({said}); {RESUMES}.") from error
    if response.status_code >= 500:
        raise InfrastructureError(f"{endpoint.url}: HTTP {response.status_code}: the server is unwell; {RESUMES}.")
    if response.status_code != httpx.codes.OK:
        raise refusal(response.status_code, response.content, secret, at=endpoint.url)
    try:
        listed = decoded(response.content).get("data")
    except (Unusable, AttributeError):
        listed = None
    if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
        raise InputError(f"{endpoint.url}: /models lists no models; is it the address of an OpenAI-compatible API?")
    return listed


def _version(client: httpx.Client, endpoint: Endpoint, secret: Secret) -> str:
    """vLLM says it beside the API, not in it; what stands between may hide it."""
    try:
        found = decoded(client.get(f"{endpoint.url.removesuffix('/v1')}/version").content)["version"]
    except (httpx.HTTPError, Unusable, KeyError, TypeError):
        return NOT_SEEN
    return secret.cut_from(str(found))
