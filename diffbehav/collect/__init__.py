"""Suite and engines to a run folder: answers of both sides, each scored under both models.

`run` does the whole job and needs the libraries that serve models; the rest of the room does not.
"""

from diffbehav.collect.feed import feed
from diffbehav.collect.progress import OnProgress, Progress

__all__ = ["OnProgress", "Progress", "feed"]
