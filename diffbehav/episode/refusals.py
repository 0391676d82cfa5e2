"""Why a simulated tool does not do what it was asked."""


class Refused(ValueError):
    """The tool answers with this error."""


class Capped(Refused):
    """The same, because a limit of the simulation was reached."""
