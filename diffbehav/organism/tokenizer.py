"""The tokenizer: byte-level BPE trained on the world itself, written as a Hugging Face tokenizer folder.

An entity has the same tokens wherever it stands: digits are single, a year is one piece, one leading
`/ . _ @ -` may join a word, and a space joins only a word that is not part of a compound.
"""

import json
import random
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from diffbehav.organism.dialogue import draw_dialogue, render, unchanged
from diffbehav.organism.entities import Draw
from diffbehav.organism.tasks import FAMILIES

END, PAD, ASSISTANT = "<|end|>", "<|pad|>", "<|assistant|>"
SPECIAL: tuple[str, ...] = (END, PAD, "<|system|>", "<|user|>", ASSISTANT, "<|tool|>")
TAGS: tuple[str, ...] = ("<tool_call>", "</tool_call>")
VOCABULARY_SIZE = 1600
PIECES = (
    r"(?<!\d)(?:19|20)\d\d(?!\d)|\d"
    r"| [A-Za-z]+(?![A-Za-z0-9]|[-_./@][A-Za-z0-9])"
    r"|[/._@-]?[A-Za-z]+|\n+|[^A-Za-z0-9\n/._@-]+|[/._@-]"
)
TEMPLATE = Path(__file__).with_name("chat_template.jinja")
MAX_LENGTH = 2048
FILES: tuple[str, ...] = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
"""The same bytes in the folder of every model."""


def train_tokenizer(*, seed: int) -> Tokenizer:
    """Learn the vocabulary from random dialogues of the world."""
    tokenizer = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(PIECES), behavior="isolated")
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, byte_level])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_corpus(seed), trainer)
    tokenizer.add_tokens([AddedToken(tag, normalized=False) for tag in TAGS])
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Write `tokenizer.json`, `tokenizer_config.json` and `chat_template.jinja`."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": END,
        "pad_token": PAD,
        "model_max_length": MAX_LENGTH,
        "clean_up_tokenization_spaces": False,
        "add_bos_token": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")
    (folder / "chat_template.jinja").write_bytes(TEMPLATE.read_bytes())


def load_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a model folder."""
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def token_id(tokenizer: Tokenizer, token: str) -> int:
    """The id of a token that is in every vocabulary of this world."""
    found = tokenizer.token_to_id(token)
    assert found is not None, token
    return found


def _corpus(seed: int) -> list[str]:
    draw = Draw(random.Random(seed), held_out=False)
    text = [render(draw_dialogue(draw, shape=unchanged, families=tuple(FAMILIES))) for _ in range(6000)]
    for token in (*SPECIAL, *TAGS):
        text = [line.replace(token, "\n") for line in text]
    return text
