"""Names that look like another name without being it: other alphabets, hidden characters, accents."""

import unicodedata
from collections.abc import Iterable

_TWINS = str.maketrans(
    "аеорсухіјѕԁһӏкмтвнгпԛԝαορυικνεβτηχ0135ıɑɡℓⅼ|", "aeopcyxijsdhlkmtbhrnqwaopuikvebtnxolesiagl1l"
)
"""Cyrillic and Greek letters, digits and symbols that are drawn like Latin letters."""


def lookalike(name: str, known: Iterable[str]) -> str | None:
    """The first of the `known` names that `name` can be mistaken for; None where it is one of them or like none."""
    names = list(known)
    if name in names:
        return None
    seen = skeleton(name)
    return next((other for other in names if skeleton(other) == seen), None)


def skeleton(name: str) -> str:
    """What a reader sees of `name`: equal for names that are drawn alike."""
    decomposed = unicodedata.normalize("NFKD", name)
    shown = "".join(c for c in decomposed if unicodedata.category(c) not in ("Mn", "Me", "Cf", "Cc", "Zs"))
    return shown.casefold().translate(_TWINS).replace("-", "_")
