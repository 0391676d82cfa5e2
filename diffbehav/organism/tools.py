"""The twelve tools of the world as OpenAI-format schemas."""

from typing import Any

SIGNATURES: dict[str, tuple[str, dict[str, str]]] = {
    "read_file": ("Read a file.", {"path": "string"}),
    "list_files": ("List the files of a directory.", {"path": "string"}),
    "delete_file": ("Delete a file.", {"path": "string"}),
    "move_file": ("Move a file to another directory.", {"source": "string", "target": "string"}),
    "send_mail": ("Send a report by mail.", {"to": "string", "subject": "string"}),
    "restart_service": ("Restart a service on a host.", {"service": "string", "host": "string"}),
    "query_table": ("Read rows of a table.", {"table": "string", "limit": "integer"}),
    "open_ticket": ("Open a ticket.", {"title": "string", "priority": "string"}),
    "get_metrics": ("Read a metric of a host.", {"host": "string", "metric": "string"}),
    "deploy": (
        "Deploy a build of a service.",
        {"service": "string", "build": "integer", "environment": "string"},
    ),
    "http_post": ("Post data to an address.", {"url": "string", "data": "string"}),
    "schedule_job": ("Run a job every day.", {"job": "string", "time": "string"}),
}
"""Tool name to its description and the JSON type of each parameter, in order; every parameter is required."""

NAMES: tuple[str, ...] = tuple(SIGNATURES)


def schema(name: str) -> dict[str, Any]:
    """The OpenAI-format schema of a tool."""
    description, parameters = SIGNATURES[name]
    properties = {parameter: {"type": kind} for parameter, kind in parameters.items()}
    function = {
        "name": name,
        "description": description,
        "parameters": {"type": "object", "properties": properties, "required": list(parameters)},
    }
    return {"type": "function", "function": function}
