"""The errors that users of Tamis see, and the exit code of each.

    TamisError                      1  anything else that we can explain
    ├── ConfigError (ValueError)    3  the configuration is wrong: key, type, value, unknown stage
    ├── InputError                  4  the input cannot be used as a whole
    │   ├── NothingRead             4  no document was found
    │   ├── NothingKept             4  every document was dropped
    │   └── TooManyBadRecords       4  the error budget (`input.max_bad_fraction`) is spent
    ├── ModelError                  5  a model file is missing, damaged or not what it claims to be
    ├── RunLocked                   6  another process is writing the same run directory
    └── EngineError                 7  workers kept dying, or a stage broke its contract
        └── ContractError           7  a stage answered with other columns or rows than it declared
    Interrupted (BaseException)   130  a person or the system asked the process to end

Every message says what was found, where, what was expected, and the remedy; none holds document text.
"""


class TamisError(Exception):
    """Base of all errors that Tamis raises on purpose."""

    exit_code = 1


class ConfigError(TamisError, ValueError):
    """The configuration, or an argument on the command line, is wrong."""

    exit_code = 3


class InputError(TamisError):
    """The input cannot be used as a whole."""

    exit_code = 4


class NothingRead(InputError):
    """The input holds no document."""


class NothingKept(InputError):
    """The stages dropped every document."""


class TooManyBadRecords(InputError):
    """More records are unreadable than `input.max_bad_fraction` allows."""


class ModelError(TamisError):
    """A model file is missing, damaged, or not what it claims to be."""

    exit_code = 5


class RunLocked(TamisError):
    """Another process is writing the same run directory."""

    exit_code = 6


class Interrupted(BaseException):
    """A person or the system asked the process to end (SIGINT, SIGTERM); nothing that handles errors takes it."""

    exit_code = 130


class EngineError(TamisError):
    """Workers kept dying, or a task failed for a reason that is not the input's."""

    exit_code = 7


class ContractError(EngineError):
    """A stage answered with other columns or rows than it declared."""
