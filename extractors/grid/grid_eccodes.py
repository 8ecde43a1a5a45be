"""The functions of ecCodes that `grid` calls, from its C library: its Python package takes long to be imported.

That package has numpy, cffi and a parser of C read all that the library declares; here it is eight functions. They
stand in eccodes.h, and do what the package's functions of the same names do. Part of the extractor `grid`.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
from pathlib import Path
from typing import Any, BinaryIO, Self

GRIB = 1  # PRODUCT_GRIB of enum ProductKind
END_OF_FILE = -1
# Of the libraries that libeccodes.so needs the one that does not lie beside it, and needs the others
BESIDE = ("eckitlib", "libeckit_geo.so")
LIBRARY = ("eccodeslib", "libeccodes.so")


def place_of(package: str, name: str) -> str:
    """Return where a library of a package lies, which is not imported.

    Raises:
        ImportError: it is not installed.
    """
    found = importlib.util.find_spec(package)
    for folder in (found.submodule_search_locations or ()) if found else ():
        if (path := Path(folder, "lib64", name)).exists():
            return str(path)
    raise ImportError(f"{package} has no {name}; install ecCodes")


def declared(library: Any, name: str, *arguments: Any, result: Any = ctypes.c_int) -> Any:
    """Return a function of a library with its types."""
    function = getattr(library, name)
    function.argtypes, function.restype = arguments, result
    return function


ctypes.CDLL(place_of(*BESIDE))
_LIBRARY, _C = ctypes.CDLL(place_of(*LIBRARY)), ctypes.CDLL(None, use_errno=True)
_POINTER, _TEXT = ctypes.c_void_p, ctypes.c_char_p
_fdopen = declared(_C, "fdopen", ctypes.c_int, _TEXT, result=_POINTER)
_fclose = declared(_C, "fclose", _POINTER)
_fseek = declared(_C, "fseek", _POINTER, ctypes.c_long, ctypes.c_int)
_new = declared(
    _LIBRARY,
    "codes_handle_new_from_file",
    _POINTER,
    _POINTER,
    ctypes.c_int,
    ctypes.POINTER(ctypes.c_int),
    result=_POINTER,
)
_delete = declared(_LIBRARY, "codes_handle_delete", _POINTER)
_get_long = declared(_LIBRARY, "codes_get_long", _POINTER, _TEXT, ctypes.POINTER(ctypes.c_long))
_get_double = declared(_LIBRARY, "codes_get_double", _POINTER, _TEXT, ctypes.POINTER(ctypes.c_double))
_get_length = declared(_LIBRARY, "codes_get_length", _POINTER, _TEXT, ctypes.POINTER(ctypes.c_size_t))
_get_string = declared(_LIBRARY, "codes_get_string", _POINTER, _TEXT, _TEXT, ctypes.POINTER(ctypes.c_size_t))
_several = declared(_LIBRARY, "codes_grib_multi_support_on", _POINTER, result=None)
_single = declared(_LIBRARY, "codes_grib_multi_support_off", _POINTER, result=None)
_forget = declared(_LIBRARY, "codes_grib_multi_support_reset_file", _POINTER, _POINTER, result=None)
_message = declared(_LIBRARY, "codes_get_error_message", ctypes.c_int, result=_TEXT)


class GribError(Exception):
    """What the library cannot do, in its words."""


def _check(code: int) -> None:
    if code:
        raise GribError((_message(code) or b"").decode("ascii", "replace"))


class Messages:
    """The messages of a file, one after the other; a context manager."""

    def __init__(self, file: BinaryIO) -> None:
        descriptor = os.dup(file.fileno())
        self._stream = _fdopen(descriptor, b"rb")
        if not self._stream:
            os.close(descriptor)
            raise OSError(ctypes.get_errno(), "the C library cannot read it")

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close what the library has open, and forget how far it was in a message of several fields."""
        _forget(None, self._stream)
        _single(None)
        _fclose(self._stream)

    def next(self) -> int | None:
        """Return the next message, which `release` gives back; None at the end.

        Raises:
            GribError: it cannot be read.
        """
        code = ctypes.c_int(0)
        handle: int | None = _new(None, self._stream, GRIB, code)
        if code.value == END_OF_FILE:
            return None
        _check(code.value)
        return handle

    def field_by_field(self, place: int) -> None:
        """From this place on give each field of a message as a message of its own."""
        _several(None)
        _fseek(self._stream, place, os.SEEK_SET)


def release(handle: int) -> None:
    """Give a message back."""
    _check(_delete(handle))


def whole(handle: int, key: str) -> int:
    """Return a key's value as a whole number. Raises GribError: the message has none."""
    value = ctypes.c_long()
    _check(_get_long(handle, key.encode(), value))
    return value.value


def real(handle: int, key: str) -> float:
    """Return a key's value as a number. Raises GribError: the message has none."""
    value = ctypes.c_double()
    _check(_get_double(handle, key.encode(), value))
    return value.value


def text(handle: int, key: str) -> str:
    """Return a key's value as a text. Raises GribError: the message has none.

    A text of which all bits are set is a missing one, and empty.
    """
    length = ctypes.c_size_t()
    _check(_get_length(handle, key.encode(), length))
    value = ctypes.create_string_buffer(length.value)
    _check(_get_string(handle, key.encode(), value, length))
    said = value.raw[: length.value].partition(b"\0")[0]
    return "" if not said.strip(b"\xff") else said.decode("ascii", "replace")
