"""diffbehav: find the conditions under which a candidate model parts from a trusted one."""

__version__ = "0.1.0"
