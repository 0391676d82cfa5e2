"""Suite and engines to a run folder: answers of both sides, each scored under both models."""

from diffbehav.collect.feed import feed
from diffbehav.collect.progress import OnProgress, Progress
from diffbehav.collect.run import Request, collect

__all__ = ["OnProgress", "Progress", "Request", "collect", "feed"]
