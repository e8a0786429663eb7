"""The error tree: whose fault it was, and how far it reaches.

    AudiocliError
    ├── UsageError        the command line or the settings are wrong          exit 2
    ├── RunError          nothing more can succeed (model, engine, output)    exit 3
    │   ├── ModelError        the model cannot be found, read or run
    │   └── OutputError       the output folder or file cannot be written
    └── JobError          this input only; the run goes on                    exit 4
        ├── SourceError       the input cannot be fetched or opened
        ├── DecodeError       it was opened and is not audio that can be read
        └── EngineError       the model could not answer for it

Scope decides who catches: a `JobError` is caught once, by the conductor, which notes it against its job; everything
else ends the run at the door. Messages are one line, start with the input they speak of where there is one, say what
was found, and what to do where something can be done.
"""

from __future__ import annotations


class AudiocliError(Exception):
    """Anything audiocli says on purpose; what is not one of these is a bug (exit 1)."""

    exit_code = 1


class UsageError(AudiocliError, ValueError):
    """The command line, an environment variable or the configuration file is wrong."""

    exit_code = 2


class RunError(AudiocliError, RuntimeError):
    """The run cannot go on: no further job could succeed."""

    exit_code = 3


class ModelError(RunError):
    """The model cannot be found, read, or run here."""


class OutputError(RunError, OSError):
    """Results cannot be written where they were asked for."""


class JobError(AudiocliError):
    """One input failed; the others go on."""

    exit_code = 4


class SourceError(JobError, OSError):
    """The input cannot be found, fetched or opened."""


class DecodeError(JobError, ValueError):
    """The input was opened, and no audio could be read from it."""


class EngineError(JobError, RuntimeError):
    """The model failed on this input's audio."""
