"""The run folder on disk: Parquet parts while collecting, run.duckdb afterwards."""

from diffbehav.store.baseline_diff import BaselineDiff, Changed, compare_baselines
from diffbehav.store.baseline_folder import (
    BaselineFolder,
    Manifest,
    check_whole,
    faults,
    present,
    read_manifest,
    shipped_baseline,
)
from diffbehav.store.database import Builder, QueryError, building, open_untrusted, quoted
from diffbehav.store.ledger import EARLIER, Ledger, LedgerKey, append, open_ledger, read_ledger
from diffbehav.store.parts import (
    BOUNDS,
    CELLS,
    COMPLETIONS,
    EPISODES,
    SCORES,
    VOCABULARY,
    WIDE,
    conditions_schema,
    disk_error,
    part_path,
    read_parquet,
    table_of,
    write_parquet,
    writing_parquet,
)
from diffbehav.store.pinning import Signed, expire, pin, promote
from diffbehav.store.row_groups import RowGroups
from diffbehav.store.run_folder import RunFolder, check_resumable, read_settings, write_json, write_settings
from diffbehav.store.sorted_rows import write_sorted

__all__ = [
    "BOUNDS",
    "CELLS",
    "COMPLETIONS",
    "EARLIER",
    "EPISODES",
    "SCORES",
    "VOCABULARY",
    "WIDE",
    "BaselineDiff",
    "BaselineFolder",
    "Builder",
    "Changed",
    "Ledger",
    "LedgerKey",
    "Manifest",
    "QueryError",
    "RowGroups",
    "RunFolder",
    "Signed",
    "append",
    "building",
    "check_resumable",
    "check_whole",
    "compare_baselines",
    "conditions_schema",
    "disk_error",
    "expire",
    "faults",
    "open_ledger",
    "open_untrusted",
    "part_path",
    "pin",
    "present",
    "promote",
    "quoted",
    "read_ledger",
    "read_manifest",
    "read_parquet",
    "read_settings",
    "shipped_baseline",
    "table_of",
    "write_json",
    "write_parquet",
    "write_settings",
    "write_sorted",
    "writing_parquet",
]
