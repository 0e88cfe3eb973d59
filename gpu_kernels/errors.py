"""The exceptions of trifuse.

TrifuseError
├── ArgumentError   an array or a parameter of a library call is not what the function takes (also a ValueError)
├── DeviceError     arrays of several devices in one call, no GPU where one was asked for, out of device memory
├── ConfigError     a config file or an option of a command is wrong
├── DataError       an input file or a table is missing, unreadable or not what its schema says
│   └── QuarantineError   more rows were set aside than the source allows
├── ModelError      a text model or a stored run cannot be loaded or used
└── LeakError       a value was used before it was known

Every message says what was got, what is allowed, and what to do. A command prints it as one line.
The tree stands here because `gpu_kernels` is the bottom of the import order.
"""


class TrifuseError(Exception):
    """Root of every error that trifuse raises on purpose.

    `problem` is the sentence that names the value got; `allowed` says what would have been accepted; `hint` says what
    to do about it. `str()` of the error is one line.
    """

    exit_code = 1

    def __init__(self, problem: str, *, allowed: str = "", hint: str = "") -> None:
        self.problem, self.allowed, self.hint = problem, allowed, hint
        parts = [problem, f"allowed: {allowed}" if allowed else "", hint]
        super().__init__("; ".join(" ".join(part.split()) for part in parts if part))


class ArgumentError(TrifuseError, ValueError):
    """An array or parameter of a library call is not what the function takes."""

    exit_code = 2


class DeviceError(TrifuseError):
    """Arrays on different devices, no GPU where one is needed, or its memory is exhausted."""

    exit_code = 5


class ConfigError(TrifuseError):
    """A config file or a command's option is wrong."""

    exit_code = 2


class DataError(TrifuseError):
    """An input file or table is missing, unreadable, or not what its schema says."""

    exit_code = 3


class QuarantineError(DataError):
    """More rows of a source were set aside than its `quarantine_limit` allows."""


class ModelError(TrifuseError):
    """A text model or a stored run cannot be loaded or used."""

    exit_code = 4


class LeakError(TrifuseError):
    """A value was used before it was known."""

    exit_code = 6


def one_line(error: BaseException) -> str:
    """What an error of another library says, in one line of at most 200 characters; the name of its class where that is
    nothing."""
    return (" ".join(str(error).split()) or type(error).__name__)[:200]
