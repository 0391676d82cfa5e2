"""Prints report.html with Chromium, where there is one."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from diffbehav.errors import InfrastructureError

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge")
SECONDS = 180


def print_pdf(page: Path, out: Path) -> None:
    """Write the page as PDF to `out`, every folded part unfolded; InfrastructureError where that cannot be done."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        raise InfrastructureError(
            f"a PDF is printed with Chromium, and none of {', '.join(BROWSERS)} is installed here; install one, leave "
            f"out --pdf, or print {page} from a browser"
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as profile:
        # Chromium refuses to run its sandbox as root; the page has no script and may load nothing.
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        command = [
            found, "--headless", *sandbox, "--disable-gpu", "--no-first-run", "--disable-background-networking",
            "--disable-sync", f"--user-data-dir={profile}", "--no-pdf-header-footer",
            f"--print-to-pdf={out.absolute()}", page.absolute().as_uri(),
        ]  # fmt: skip
        out.unlink(missing_ok=True)
        try:
            ended = subprocess.run(command, capture_output=True, timeout=SECONDS, check=False)
        except subprocess.TimeoutExpired as error:
            raise InfrastructureError(f"{found} did not print {page} within {SECONDS} seconds") from error
    if ended.returncode or not out.is_file():
        said = ended.stderr.decode("utf-8", "replace").strip().splitlines()
        raise InfrastructureError(f"{found} could not print {page}: {said[-1] if said else 'it said nothing'}")
