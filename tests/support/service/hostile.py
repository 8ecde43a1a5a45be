"""Extractors' programs that mean harm, and names of files that do."""

from __future__ import annotations

import secrets
import socket

MARK = "h" + secrets.token_hex(6)
"""The name that every hostile process gives itself, so that one which is left can be found."""
with socket.socket() as _free:
    _free.bind(("127.0.0.1", 0))
    PORT: int = _free.getsockname()[1]
NAMES = (
    b"x,/etc/hostname:/in/leak",
    b'y",destination=/etc,rw.csv',
    b"new\nline.csv",
    b"q'uo\"te.csv",
    b"\xff\xfe.csv",
    b"$(id) `id`;.csv",
    b"-rf",
    b" ",
    b"l" * 251 + b".csv",
    b"deep/" * 20 + b"file.csv",
)
PRELUDE = f"""
import hashlib, json, os, signal, socket, struct, subprocess, sys, time
open("/proc/self/comm", "w").write("{MARK}")
def say(answer):
    print(json.dumps(answer), flush=True)
def attempt(function):
    try:
        return str(function())
    except Exception as exc:
        return type(exc).__name__
"""
"""What each hostile program begins with."""

MANY = (
    (
        PRELUDE
        + """
asked = [json.loads(line) for line in sys.stdin]
for one in asked:
    key, path = one["id"], one["path"]
    content = open(path, "rb").read()
    head = '{"id": "%s", "document": ' % key
    if content == b"write":
        say({"id": key, "document": {
            "append": attempt(lambda: open(path, "ab")),
            "remove": attempt(lambda: os.unlink(path)),
            "truncate": attempt(lambda: os.truncate(path, 0)),
            "chmod": attempt(lambda: os.chmod(path, 0o777)),
            "extractor": attempt(lambda: open("/extractor/other.py", "w")),
            "image": attempt(lambda: open("/usr/bin/python3", "ab")),
        }})
    elif content == b"read":
        say({"id": key, "document": {
            "shadow": attempt(lambda: open("/etc/shadow").read()),
            "up": attempt(lambda: open("/in/../../etc/shadow").read()),
            "in": ",".join(sorted(os.listdir("/in"))),
            "leak": os.path.exists("/in/leak"),
            "network": attempt(lambda: socket.create_connection(("192.0.2.1", 80), 1)),
            "loopback": attempt(lambda: socket.create_connection(("127.0.0.1", PORT), 1)),
            "abstract": attempt(lambda: socket.socket(socket.AF_UNIX).connect("\\0NAME")),
            "setuid": attempt(lambda: os.setuid(0)),
            "mount": attempt(lambda: os.open("/dev/mem", os.O_RDONLY)),
        }})
    elif content == b"disk":
        def fill():
            with open("/tmp/full", "wb") as file:
                for _ in range(200):
                    file.write(bytes(1 << 20))
        say({"id": key, "document": {"tmp": attempt(fill)}})
        os.unlink("/tmp/full")
    elif content == b"root":
        import ctypes
        system = ctypes.CDLL(None, use_errno=True)
        new_user_and_mount = 0x10020000
        # flags (new user and network namespace), pidfd, child_tid, parent_tid, exit_signal, stack and its size, tls
        CLONE_ARGS = struct.pack("=8Q", 0x50000000, 0, 0, 0, signal.SIGCHLD, 0, 0, 0)
        FAMILIES = [(family, socket.SOCK_RAW) for family in (socket.AF_NETLINK, socket.AF_PACKET)] + [
            (each, socket.SOCK_STREAM)
            for each in (socket.AF_INET, socket.AF_INET6, socket.AF_VSOCK, socket.AF_ALG)]
        say({"id": key, "document": {
            "unshare": system.unshare(new_user_and_mount),
            "mount": system.mount(b"tmpfs", b"/tmp", b"tmpfs", 0, None),
            "shared": system.shmget(0, 1 << 20, 0o1600),
            "memfd": attempt(lambda: os.memfd_create("hidden")),
            "clone3": (system.syscall(435, CLONE_ARGS, 64), ctypes.get_errno()),
            "ptrace": (system.ptrace(0, 0, 0, 0), ctypes.get_errno()),
            "sockets": [attempt(lambda: socket.socket(family, kind)) for family, kind in FAMILIES],
            "buffer": attempt(lambda: socket.socketpair()[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)),
        }})
    elif content == b"other":
        say({"id": "9999", "document": {"stolen": 1}})
        say({"id": "../" + key, "document": {"stolen": 1}})
        say({"id": [key], "document": {"stolen": 1}})
        say({"id": asked[0]["id"], "document": {"stolen": 1}})
        say({"id": key, "document": {"own": 1}})
        say({"id": key, "document": {"own": 2}})
    elif content == b"nan":
        print(head + '{"a": NaN}}', flush=True)
    elif content == b"huge":
        print(head + '{"a": 1e999}}', flush=True)
    elif content == b"nested":
        print(head + '{"a": ' + "[" * (1 << 20) + "]" * (1 << 20) + "}}", flush=True)
    elif content == b"braces":
        print(head + '{"a":' * 300000 + "1" + "}" * 300001, flush=True)
    elif content == b"binary":
        sys.stdout.buffer.write(head.encode() + b'{"a": "\\xff\\xfe"}}\\n')
        sys.stdout.buffer.flush()
    elif content == b"escape":
        say({"id": key, "error": "\\x1b[2J\\x07\\n" + "x" * 5000})
    elif content == b"long":
        print(head + '{"a": "' + "x" * 5000000 + '"}}', flush=True)
    else:
        say({"id": key, "document": {"sha256": hashlib.sha256(content).hexdigest()}})
say({"end": len(asked)})
"""
    )
    .replace("PORT", str(PORT))
    .replace("NAME", MARK)
)
"""Does with each file what its content says."""
DEEDS = (
    b"write", b"read", b"disk", b"root", b"other", b"nan", b"huge", b"nested", b"braces", b"binary", b"escape",
    b"long",
)  # fmt: skip


FIRST_THEN = """
asked = [json.loads(line) for line in sys.stdin]
say({"id": asked[0]["id"], "document": {"good": 1}})
"""
"""Answers the first file, and then does something."""

READ = """
for one in asked[1:]:
    say({"id": one["id"], "document": {"text": open(one["path"]).read()}})
say({"end": len(asked)})
"""
"""Behind FIRST_THEN: answers the other files with their content."""

FORKS = """
while True:
    try:
        os.fork()
    except OSError:
        pass
"""
HOGS = """
for _ in range(8):
    if os.fork() == 0:
        x = b"x" * 60_000_000
        time.sleep(60)
time.sleep(60)
"""
SHARED = """
for number in range(4096):
    open(f"/dev/shm/{number}", "wb").write(bytes(1 << 20))
time.sleep(60)
"""
MAPPED = """
import mmap
for _ in range(8):
    if os.fork() == 0:
        held = mmap.mmap(-1, 60_000_000)
        for place in range(0, 60_000_000, 4096):
            held[place] = 1
        time.sleep(60)
time.sleep(60)
"""
SOCKETS = """
held = []
for _ in range(8):
    if os.fork() == 0:
        for _ in range(150):
            for each in socket.socketpair():
                held.append(each)
                each.setblocking(False)
                try:
                    while True:
                        each.send(bytes(32768))
                except BlockingIOError:
                    pass
        time.sleep(60)
time.sleep(60)
"""
FLOOD = """
block = b"x" * (1 << 20)
for _ in range(10_000):
    os.write(STREAM, block)
"""
DESCRIPTORS = """
held = []
while True:
    held.append(os.dup(0))
"""
STUBBORN = """
for number in range(1, 65):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    time.sleep(600)
os.kill(0, signal.SIGTERM)
time.sleep(600)
"""
DAEMON = """
if os.fork() == 0:
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)
"""
HELD = "killed because it held more than 200000000 bytes of memory"
NO_MORE = "the program ended with exit code 1"

ENDS = {
    "forks": (FORKS, "seconds = 8\nprocesses = 16", "killed at its deadline of 8 s"),
    "hog": ("x = bytearray(1 << 40)", "memory_bytes = 500_000_000", NO_MORE),
    "hogs": (HOGS, "seconds = 20\nmemory_bytes = 200_000_000", HELD),
    "shared": (SHARED, "seconds = 20\nmemory_bytes = 200_000_000", HELD),
    "mapped": (MAPPED, "seconds = 20\nmemory_bytes = 200_000_000", HELD),
    "sockets": (SOCKETS, "seconds = 20\nmemory_bytes = 200_000_000", HELD),
    "output": (FLOOD.replace("STREAM", "1"), "output_bytes = 1_000_000", "killed after 3066304 bytes of output"),
    "stderr": (FLOOD.replace("STREAM", "2"), "", "killed after 67108864 bytes on stderr"),
    "descriptors": (DESCRIPTORS, "open_files = 64", NO_MORE),
    "stubborn": (STUBBORN, "seconds = 8", "killed at its deadline of 8 s"),
    "daemon": (DAEMON, "", "the program ended without its end marker"),
}
"""Behind FIRST_THEN: by name the program, its limits, and the reason that its other files fail with."""
