"""What a user can mend: shown as one line, without a traceback."""


class UserError(Exception):
    """A mistake in the command line, a file or the machine's set-up, told in one line that says what to do."""

    exit_code = 2


class DataError(UserError):
    """A file that can't be read as what it should be; the message names the file and, where known, the entry."""


class TrainingError(UserError):
    """Numbers that make further training meaningless, such as a loss that is not finite."""

    exit_code = 3
