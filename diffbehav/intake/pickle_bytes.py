"""Tells a pickle from other files by what its bytes would do. Nothing is unpickled."""

import os
import pickletools
import re
from collections.abc import Iterator
from io import BufferedReader, FileIO
from pathlib import Path

_IMPORTS = {"GLOBAL", "INST", "STACK_GLOBAL", "EXT1", "EXT2", "EXT4"}
_CALLS = {"REDUCE", "BUILD", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX"}
_MODULE_AND_NAME = re.compile(r"[\w.]+ [\w.]+")
_MOST_STEPS = 100_000
_LARGEST_ARGUMENT = 1 << 20


class _TooLargeError(Exception):
    """A step asks for more bytes than are read, and the file has them."""


class _Bounded(BufferedReader):
    """A file of which no read is large."""

    def read(self, size: int | None = -1, /) -> bytes:
        """`size` bytes, or what is left of them."""
        assert size is not None
        if _LARGEST_ARGUMENT < size <= os.fstat(self.fileno()).st_size - self.tell():
            raise _TooLargeError
        return super().read(min(size, _LARGEST_ARGUMENT))

    def readline(self, _size: int | None = -1, /) -> bytes:
        """A line, cut where it is long."""
        return super().readline(_LARGEST_ARGUMENT)


def would_call(path: Path) -> bool:
    """Whether unpickling the file would call something that it imports, or what it would do takes long to see.

    Any text begins with the letter of some step, so steps count as long as the stack has what they take.
    """
    imported = False
    with _Bounded(FileIO(path)) as file:
        try:
            for number, step in enumerate(_steps(file)):
                imported = imported or step in _IMPORTS
                if (imported and step in _CALLS) or number == _MOST_STEPS:
                    return True
        except _TooLargeError:
            return True
        except ValueError:
            return False
    return False


def _steps(file: _Bounded) -> Iterator[str]:
    """The names of the steps of a pickle; ValueError at the first that cannot be one."""
    mark, stack = pickletools.markobject, list[object]()
    for opcode, argument, _ in pickletools.genops(file):
        if opcode.name in ("GLOBAL", "INST") and not _MODULE_AND_NAME.fullmatch(str(argument)):
            raise ValueError(f"{argument!r} is not imported")
        taken = len(opcode.stack_before)
        if mark in opcode.stack_before or (opcode.name == "POP" and stack and stack[-1] is mark):
            while stack and stack.pop() is not mark:
                pass
            taken = opcode.stack_before.index(mark) if mark in opcode.stack_before else 0
        if len(stack) < taken:
            raise ValueError(f"{opcode.name} takes {taken} of {len(stack)}")
        del stack[len(stack) - taken :]
        stack.extend(opcode.stack_after)
        yield opcode.name
