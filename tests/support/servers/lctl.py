"""A program in the place of lctl."""

from __future__ import annotations

import sys
from pathlib import Path

MDT = "lustre-MDT0000"


FAKE = '''\
"""lctl on the MDS of lustre-MDT0000; its state is a folder. argv: folder, variant, then lctl's own."""
import pathlib, sys

folder, variant, *arguments = sys.argv[1:]
folder = pathlib.Path(folder)
with (folder / "calls").open("a") as calls:
    print(*arguments, file=calls)
users = folder / "users"
users.exists() or users.write_text("")


def fail(text, code=1):
    print(text, file=sys.stderr)
    sys.exit(code)


match arguments:
    case ["get_param", "-n", "mdd.lustre-MDT0000.changelog_users"]:
        print("current_index: 812")
        print("ID                            index (idle) mask")
        print(users.read_text(), end="")
    case ["get_param", "-N", "mdd.*.changelog_users"]:
        print("mdd.lustre-MDT0000.changelog_users\\nmdd.lustre-MDT0002.changelog_users")
    case ["get_param", "-n", "mdd.lustre-MDT0000.changelog_current_mask"] if variant == "masks":
        print("MARK CREAT MKDIR CLOSE ")
    case ["get_param", "-n", "mdd.lustre-MDT0000.changelog_mask"]:
        mask = folder / "mask"
        print(mask.read_text() if mask.exists() else "MARK CREAT MKDIR ")
    case ["set_param", parameter] if parameter.startswith("mdd.lustre-MDT0000.changelog_mask="):
        (folder / "mask").write_text(parameter.partition("=")[2])
    case ["--device", "lustre-MDT0000", "changelog_register", *options]:
        if options and variant == "old":
            fail("changelog_register: invalid option -- 'u'")
        if variant == "full":
            fail("error: changelog_register: No space left on device", 28)
        name = "-" + options[options.index("-u") + 1] if "-u" in options else ""
        mask = "mask=" + options[options.index("-m") + 1] if "-m" in options else ""
        number = len(users.read_text().splitlines()) + 1
        with users.open("a") as out:
            print(f"cl{number}{name}   812 (0) {mask}", file=out)
        print(f"lustre-MDT0000: Registered changelog userid 'cl{number}{name}'")
    case ["--device", "lustre-MDT0000", "changelog_deregister", user]:
        left = [line for line in users.read_text().splitlines() if line.split()[0] != user]
        users.write_text("".join(line + "\\n" for line in left))
        print(f"lustre-MDT0000: Deregistered changelog user #{user[2:]}")
    case ["get_param", "-n", parameter]:
        fail(f"error: get_param: param_path '{parameter}': No such file or directory", 2)
    case _:
        fail("No device found for name: Invalid argument", 22)
'''


def fake_lctl(folder: Path, variant: str = "new") -> list[str]:
    """Return a command that behaves like lctl on an MDS."""
    program = folder / "fake_lctl.py"
    program.write_text(FAKE)
    return [sys.executable, "-I", "-S", str(program), str(folder), variant]  # -S: it starts in half the time
