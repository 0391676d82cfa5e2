"""The run folder on disk: Parquet parts while collecting, run.duckdb afterwards."""

from diffbehav.store.database import Builder, building, open_untrusted
from diffbehav.store.ledger import Ledger, LedgerKey, append, read_ledger
from diffbehav.store.parts import (
    COMPLETIONS,
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
    "COMPLETIONS",
    "SCORES",
    "VOCABULARY",
    "Builder",
    "Ledger",
    "LedgerKey",
    "RunFolder",
    "append",
    "building",
    "check_resumable",
    "conditions_schema",
    "disk_error",
    "open_untrusted",
    "part_path",
    "read_ledger",
    "read_parquet",
    "read_settings",
    "write_json",
    "write_parquet",
    "write_settings",
]
