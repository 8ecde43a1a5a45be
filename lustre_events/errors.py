"""Every error that this project raises on purpose, as one tree.

LustreEventsError                 exit code 1, which for `search` means that nothing was found
├── ConfigError                   2   a setting, a rule file, a command line
│   ├── NotAllowed                    a token that is not known, or not for that
│   ├── TooOften                      asked more often than a user may
│   └── StoreUnavailable              the console's own store cannot be opened
├── RecordDecodeError             3   bytes that are not a changelog record
│   └── UnknownExtension              an extension of a newer Lustre: its length is unknown
├── ChangelogError                4   the MDT's changelog, through liblustreapi
│   ├── LibraryMissing                liblustreapi cannot be loaded
│   ├── ChangelogUnavailable          no such MDT, no rights, not a Lustre client
│   ├── ChangelogUserUnknown          the changelog user is not registered
│   ├── ChangelogRefused              a call with values that the MDT does not take
│   └── ChangelogBroken               the open handle is dead: close it and open again
├── StreamError                   5   Redis and what is in it
│   ├── StreamUnavailable             cannot be reached
│   ├── StreamDamaged                 a key holds what does not belong there
│   ├── StreamForbidden               the login may not do that
│   ├── StreamUnsafe                  without AOF, or with eviction: it could lose records
│   ├── StreamFull                    no memory left: nothing was stored, or not all
│   ├── StreamMoved                   the stream is not where this reader left it
│   ├── GroupUnknown                  no subscriber group of that name
│   └── GroupCutOff                   a subscriber group fell too far behind and lost records
├── IndexError_                   6   the index
│   ├── IndexUnavailable              cannot be opened
│   ├── IndexTooNew                   written by a later version
│   └── QueryError                    a search that cannot be understood
├── ExtractorError                7   extractors, images, containers
│   ├── UnknownExtractor
│   ├── ManifestError
│   ├── RuntimeMissing                neither Apptainer nor Singularity
│   ├── ImageMissing
│   ├── ExtractorRefused              not approved, not signed, or as a user that this worker may not become
│   └── ContainerFailed               the runtime failed before the extractor's program began
└── LeaseLost                     8   another process has taken over this one's work

OSError                           9   the system refused, e.g. a full disk (cli/main.py)

The message of each says what happened, to what, and what to do next. `retryable` says whether the same
call can succeed later without anybody doing anything; `exit_code` is what a command ends with. Nobody
else decides either.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

SYSTEM_REFUSED = 9
"""The exit code where the system refused something: a full disk, a file that may not be read."""


def one_line(text: str) -> str:
    """Return text with every character that cannot be printed, line ends too, written as an escape."""
    return (
        text if text.isprintable() else "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)
    )


class LustreEventsError(Exception):
    """An expected failure. `str(error)` is one sentence for a person."""

    exit_code: ClassVar[int] = 1
    retryable: ClassVar[bool] = False

    def __str__(self) -> str:
        """Return the sentence as one line: what strangers named in it forges no other, and moves no cursor."""
        return one_line(super().__str__())


class ConfigError(LustreEventsError):
    """A setting, a rule or an argument is wrong."""

    exit_code = 2


class NotAllowed(ConfigError):
    """A token is missing, not known, over, or not for what is asked."""


class TooOften(ConfigError):
    """Somebody asks, or tries passwords, more often than is allowed."""


class StoreUnavailable(ConfigError):
    """The console's own store (tokens, saved searches) cannot be opened."""


class RecordDecodeError(LustreEventsError):
    """The bytes at `offset` are not a whole changelog record."""

    exit_code = 3

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(f"{message} (at byte {offset})")
        self.message = message
        self.offset = offset

    def behind(self, base: int) -> Self:
        """Return the same error for a buffer that begins at byte `base` of something larger."""
        return type(self)(self.message, base + self.offset)


class UnknownExtension(RecordDecodeError):
    """A record carries an extension bit that this version does not know, so its length is unknown."""


class ChangelogError(LustreEventsError):
    """A call of liblustreapi failed. `errno` is positive, 0 where there is none."""

    exit_code = 4

    def __init__(self, message: str, errno: int = 0) -> None:
        super().__init__(message)
        self.errno = errno


class LibraryMissing(ChangelogError):
    """The library liblustreapi cannot be loaded."""


class ChangelogUnavailable(ChangelogError):
    """The MDT's changelog cannot be opened."""

    retryable = True


class ChangelogUserUnknown(ChangelogError):
    """The changelog user is not registered on the MDT."""


class ChangelogRefused(ChangelogError):
    """The MDT does not take these values."""


class ChangelogBroken(ChangelogError):
    """The open handle is dead; records are not lost: close it and open again at the last index + 1."""

    retryable = True


class StreamError(LustreEventsError):
    """Redis, or what this project keeps in it."""

    exit_code = 5


class StreamUnavailable(StreamError):
    """Redis cannot be reached or does not answer."""

    retryable = True


class StreamDamaged(StreamError):
    """A key holds something else than what belongs there: somebody with a login wrote it, or a later version."""

    retryable = True


class StreamForbidden(StreamError):
    """The login may not do that: its role does not need it."""


class StreamUnsafe(StreamError):
    """This Redis could lose records (no append-only file, or an eviction policy)."""


class StreamFull(StreamError):
    """Redis has no memory left and stored nothing, or not all; `left` is what was not, empty: all of it."""

    retryable = True
    left: Sequence[Any] = ()


class StreamMoved(StreamError):
    """The stream's last id or epoch is not what the writer expected; nothing was stored."""

    retryable = True


class GroupUnknown(StreamError):
    """There is no subscriber group of that name: it was removed, or Redis has lost its data."""


class GroupCutOff(StreamError):
    """A subscriber group fell too far behind and lost records; the message names them."""


class IndexError_(LustreEventsError):  # noqa: N801 - the builtin has the plain name
    """The index."""

    exit_code = 6


class IndexUnavailable(IndexError_):
    """The index cannot be opened."""

    retryable = True


class IndexTooNew(IndexError_):
    """The index was written by a later version of this program."""


class QueryError(IndexError_):
    """A search that cannot be understood; the message shows the place with a caret."""

    def __str__(self) -> str:
        """Return the sentence, and below it the query with the place, which was made printable."""
        return "\n".join(map(one_line, Exception.__str__(self).split("\n")))


class ExtractorError(LustreEventsError):
    """Extractors, their images and the container runtime."""

    exit_code = 7


class UnknownExtractor(ExtractorError):
    """No extractor of that name is installed."""


class ManifestError(ExtractorError):
    """An extractor's manifest is wrong."""


class RuntimeMissing(ExtractorError):
    """Neither apptainer nor singularity can be found."""


class ImageMissing(ExtractorError):
    """The extractor's image is not there."""


class ExtractorRefused(ExtractorError):
    """The extractor may not run here: not approved, not signed, or as a user that this worker may not become."""


class ContainerFailed(ExtractorError):
    """The container runtime failed before the extractor's program had begun."""

    retryable = True


class LeaseLost(LustreEventsError):
    """Another process has taken over; this one must stop writing."""

    exit_code = 8
