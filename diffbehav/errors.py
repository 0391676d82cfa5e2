"""The errors a reader is meant to see, each with the exit code the command line ends with.

DiffbehavError
├─ InputError           2    a suite, a folder or an argument is wrong
├─ InfrastructureError  20   an engine died, the disk is full
├─ IntegrityError       21   what is stored or served is not what was declared
└─ Interrupted          75   stopped on request, resumable

A message names the place, the value and the remedy. Everything else keeps its traceback.
"""


class DiffbehavError(Exception):
    """Shown without a traceback."""

    exit_code = 70


class InputError(DiffbehavError):
    """A suite, a model folder or an argument cannot be used as it is."""

    exit_code = 2


class InfrastructureError(DiffbehavError):
    """The machine failed: an engine died, the disk is full."""

    exit_code = 20


class IntegrityError(DiffbehavError):
    """Stored or served things are not what was declared; no comparison can be made from them."""

    exit_code = 21


class Interrupted(DiffbehavError):
    """Stopped on request; the same command resumes."""

    exit_code = 75
