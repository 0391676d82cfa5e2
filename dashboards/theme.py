"""Light, dark, or as the browser has it: what was chosen comes as a cookie, and figures are drawn for it."""

import re

from dash import html
from flask import has_request_context, request

THEMES = {"auto": "as the browser", "light": "light", "dark": "dark"}
_DARK = re.compile(r"(@media [^{]*prefers-color-scheme: dark\)) \{\s*:root \{(.*?)\}\s*\}", re.DOTALL)


def is_dark() -> bool:
    """Whether the page that is asked for has a dark background."""
    return has_request_context() and request.cookies.get("scheme") == "dark"


def switch() -> html.Div:
    """Three buttons, the one in force pressed; start.js does what they say."""
    chosen = request.cookies.get("theme", "auto") if has_request_context() else "auto"
    buttons = [
        html.Button(
            name, type="button", title=f"Colours: {meaning}",
            **{"data-theme-choice": name, "aria-pressed": "true" if name == chosen else "false"},
        )
        for name, meaning in THEMES.items()
    ]  # fmt: skip
    return html.Div(buttons, className="themes", role="group", **{"aria-label": "Colours"})


def themed(style: str) -> str:
    """A style sheet that knows dark by the browser alone, so that `data-theme` on the root element overrides it."""
    dark = _DARK.search(style)
    assert dark is not None, "the style sheet has no block of dark colours"
    media, colours = dark.groups()
    by_browser = f'{media} {{ :root:not([data-theme="light"]) {{{colours}}} }}'
    chosen = f'@media screen {{ :root[data-theme="dark"] {{ color-scheme: dark;{colours}}} }}'
    light = ':root[data-theme="light"] { color-scheme: light; }'
    return "\n".join([style[: dark.start()], by_browser, chosen, light, style[dark.end() :]])
