"""Every family of extractors under the same rules, in its real container."""

# Before any module imports ecCodes, whose package brings a library of its own in which pyproj then finds no tables.
import pyproj  # noqa: F401
