"""The run folder on disk: Parquet parts while collecting, run.duckdb afterwards."""

from diffbehav.store.database import Builder, QueryError, building, open_untrusted, quoted
from diffbehav.store.ledger import EARLIER, Ledger, LedgerKey, append, open_ledger, read_ledger
from diffbehav.store.parts import (
    CELLS,
    COMPLETIONS,
    EPISODES,
    SCORES,
    VOCABULARY,
    conditions_schema,
    disk_error,
    part_path,
    read_parquet,
    write_parquet,
)
from diffbehav.store.run_folder import RunFolder, check_resumable, read_settings, write_json, write_settings

__all__ = [
    "CELLS",
    "COMPLETIONS",
    "EARLIER",
    "EPISODES",
    "SCORES",
    "VOCABULARY",
    "Builder",
    "Ledger",
    "LedgerKey",
    "QueryError",
    "RunFolder",
    "append",
    "building",
    "check_resumable",
    "conditions_schema",
    "disk_error",
    "open_ledger",
    "open_untrusted",
    "part_path",
    "quoted",
    "read_ledger",
    "read_parquet",
    "read_settings",
    "write_json",
    "write_parquet",
    "write_settings",
]
