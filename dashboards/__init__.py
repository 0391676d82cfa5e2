"""The Dash application over a folder of runs: one page a file. Nothing in the package imports it but the command."""
