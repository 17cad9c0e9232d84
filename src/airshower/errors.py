"""What a user can mend: shown as one line, without a traceback."""

import errno
import os
from collections.abc import Iterator

SHORT = {errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""Of open files, and of room on a disk."""


class UserError(Exception):
    """A mistake in the command line, a file or the machine's set-up, told in one line that says what to do."""

    exit_code = 2


class DataError(UserError):
    """A file that can't be read as what it should be; the message names the file and, where known, the entry."""


class TrainingError(UserError):
    """Numbers that make further training meaningless, such as a loss that is not finite."""

    exit_code = 3


def shortage(error: BaseException) -> OSError | None:
    """The error of the system behind `error`, if that is that too many files are open or a disk is full. Libraries
    report these as other types, with the cause in the chain of exceptions, or in their text only."""
    for item in _chain(error):
        if isinstance(item, OSError) and item.errno in SHORT:
            return item
        for number in SHORT:
            if os.strerror(number) in str(item):
                return OSError(number, os.strerror(number))
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
