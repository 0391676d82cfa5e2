"""SHA256SUMS: what the files of a report were when they were written, as `sha256sum -c` reads it."""

import hashlib
import re
from pathlib import Path

from diffbehav.errors import IntegrityError
from diffbehav.store import disk_error

SUMS = "SHA256SUMS"
NIGHT = "night.md"
"""In the folder of a report that is a night's."""
LISTED = (
    "report.html", "report.json", "report.md", "report.pdf", "findings.csv", "findings.sarif", "figures.html",
    "junit.xml", NIGHT,
)  # fmt: skip
_LINE = re.compile(r"([0-9a-f]{64})  ([A-Za-z0-9][A-Za-z0-9._-]*)")


def write_sums(folder: Path) -> Path:
    """Write SHA256SUMS with a line for every file of a report that lies in `folder`."""
    found = [folder / name for name in LISTED if (folder / name).is_file()]
    try:
        lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in found]
        (folder / SUMS).write_text("".join(lines), encoding="utf-8", newline="")
    except OSError as error:
        raise disk_error(error, folder / SUMS) from error
    return folder / SUMS


def read_sums(path: Path) -> dict[str, str]:
    """File name -> sha256; IntegrityError where a line names anything but a file beside it."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise IntegrityError(f"{path} cannot be read ({error})") from error
    found = [_LINE.fullmatch(line) for line in lines]
    if None in found:
        raise IntegrityError(f"{path}:{found.index(None) + 1}: is no line of a sha256 and a file beside it")
    return {match[2]: match[1] for match in found if match is not None}
