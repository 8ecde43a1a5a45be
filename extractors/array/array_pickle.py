"""Pickles by their structure: what they would make, without making it. Nothing is imported and nothing is called.

The operations are read by pickletools and followed on values that stand for what they would be: a class is its
name, an object is its class with what it would get. Tensors of PyTorch and arrays of NumPy are found among them.
"""

from __future__ import annotations

import pickletools
from typing import Any

from array_listing import MAX_NAME, Listing

MAX_STEPS = 3_000_000
MAX_PIECE = 1 << 20  # of a text or of bytes that are kept
MAX_VISITS = 200_000
MAX_DEPTH = 12
MARK = object()
STORAGES = {
    "Double": "float64", "Float": "float32", "Half": "float16", "BFloat16": "bfloat16", "Long": "int64",
    "Int": "int32", "Short": "int16", "Char": "int8", "Byte": "uint8", "Bool": "bool",
    "ComplexDouble": "complex128", "ComplexFloat": "complex64",
}  # fmt: skip
KINDS = {"f": "float", "i": "int", "u": "uint", "c": "complex"}
TENSORS = ("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor")
WRAPPED = ("torch._utils._rebuild_parameter", "torch.nn.parameter.Parameter")
ARRAYS = ("numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct")
MAPPINGS = ("collections.OrderedDict", "collections.defaultdict", "builtins.dict", "__builtin__.dict")
SCALARS = {"MARK", "STOP", "PROTO", "FRAME", "POP", "POP_MARK", "DUP", "EXT1", "EXT2", "EXT4"}


class Skipped(bytes):
    """The beginning of what is too long to keep; its length is what it would be."""

    length = 0

    def __len__(self) -> int:
        return self.length


class Stream:
    """A file out of which pickletools cannot be talked into reading much at once."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.at = 0

    def read(self, size: int) -> bytes:
        """Return `size` bytes, or something as long that begins so."""
        data: bytes = self._stream.read(min(size, MAX_PIECE))
        self.at += len(data)
        if size <= MAX_PIECE or len(data) < MAX_PIECE:
            return data
        left = size - MAX_PIECE
        while left and (more := self._stream.read(min(left, MAX_PIECE))):
            left -= len(more)
            self.at += len(more)
        found = Skipped(data[:100] if not left else b"")
        found.length = size - left
        return found

    def readline(self) -> bytes:
        """Return a line."""
        line: bytes = self._stream.readline(1 << 16)
        self.at += len(line)
        return line

    def tell(self) -> int:
        """Return the place."""
        return self.at


class Name:
    """A class or function, by its name only."""

    def __init__(self, name: str) -> None:
        self.name = name


class Made:
    """What a call would make."""

    def __init__(self, maker: Any, args: Any) -> None:
        self.maker = maker.name if isinstance(maker, Name) else ""
        self.args = args if isinstance(args, tuple) else ()
        self.state: Any = None
        self.items: dict[Any, Any] = {}


class Persistent:
    """What is kept outside of the pickle."""

    def __init__(self, key: Any) -> None:
        self.key = key


class Machine:
    """Follows one pickle."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.protocol = self.steps = self.calls = 0
        self.globals: dict[str, None] = {}
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.done = False

    def run(self) -> Any:
        """Return what it would be.

        Raises:
            ValueError, IndexError, KeyError: it is no pickle, or ends early.
        """
        for code, arg, _ in pickletools.genops(self.stream):
            self.steps += 1
            if self.steps > MAX_STEPS:
                raise ValueError(f"it has more than {MAX_STEPS} operations")
            self._step(code.name, arg)
            if code.name == "STOP":
                self.done = True
        return self.stack[-1] if self.stack else None

    def _step(self, name: str, arg: Any) -> None:
        handler = getattr(self, f"_{name.lower()}", None)
        if handler is not None:
            handler(arg)
        elif name in {"EMPTY_DICT", "EMPTY_LIST", "EMPTY_SET", "EMPTY_TUPLE"}:
            self.stack.append({"DICT": dict, "LIST": list, "SET": list, "TUPLE": tuple}[name[6:]]())
        elif name in {"TUPLE1", "TUPLE2", "TUPLE3"}:
            count = int(name[-1])
            self.stack[-count:] = [tuple(self.stack[-count:])]
        elif name in {"NEWTRUE", "NEWFALSE", "NONE"}:
            self.stack.append({"NEWTRUE": True, "NEWFALSE": False}.get(name))
        elif name not in SCALARS and name not in {"NEXT_BUFFER", "READONLY_BUFFER"}:
            self.stack.append(arg)

    def _proto(self, arg: int) -> None:
        self.protocol = max(self.protocol, arg)

    def _mark(self, _: Any) -> None:
        self.stack.append(MARK)

    def _marked(self) -> list[Any]:
        place = len(self.stack) - 1
        while self.stack[place] is not MARK:
            place -= 1
            if place < 0:
                raise ValueError("it is not a pickle: a mark is missing")
        found = self.stack[place + 1 :]
        del self.stack[place:]
        return found

    def _pop(self, _: Any) -> None:
        self.stack.pop()

    def _pop_mark(self, _: Any) -> None:
        self._marked()

    def _dup(self, _: Any) -> None:
        self.stack.append(self.stack[-1])

    def _next_buffer(self, _: Any) -> None:
        self.stack.append(Persistent(None))

    def _tuple(self, _: Any) -> None:
        self.stack.append(tuple(self._marked()))

    def _list(self, _: Any) -> None:
        self.stack.append(self._marked())

    def _frozenset(self, _: Any) -> None:
        self.stack.append(self._marked())

    def _dict(self, _: Any) -> None:
        found = self._marked()
        self.stack.append({})
        self._put_items(found)

    def _append(self, _: Any) -> None:
        self._extend([self.stack.pop()])

    def _appends(self, _: Any) -> None:
        self._extend(self._marked())

    _additems = _appends

    def _extend(self, found: list[Any]) -> None:
        if isinstance(self.stack[-1], list):
            self.stack[-1].extend(found)
        elif isinstance(self.stack[-1], Made):
            self.stack[-1].items |= {len(self.stack[-1].items) + n: one for n, one in enumerate(found)}

    def _setitem(self, _: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._put_items([key, value])

    def _setitems(self, _: Any) -> None:
        self._put_items(self._marked())

    def _put_items(self, found: list[Any]) -> None:
        place = self.stack[-1]
        place = place.items if isinstance(place, Made) else place
        if isinstance(place, dict):
            for key, value in zip(found[::2], found[1::2], strict=False):
                place[key if isinstance(key, (str, int, float, bytes, type(None))) else id(key)] = value

    def _put(self, arg: int) -> None:
        self.memo[int(arg)] = self.stack[-1]

    _binput = _long_binput = _put

    def _memoize(self, _: Any) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def _get(self, arg: int) -> None:
        self.stack.append(self.memo[int(arg)])

    _binget = _long_binget = _get

    def _global(self, arg: str) -> None:
        self._named(*arg.split(" ", 1))

    def _stack_global(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self._named(module if isinstance(module, str) else "?", name if isinstance(name, str) else "?")

    def _named(self, module: str, name: str = "") -> None:
        full = f"{module}.{name}"[:MAX_NAME]
        if len(self.globals) < MAX_STEPS // 100:
            self.globals[full] = None
        self.stack.append(Name(full))

    def _reduce(self, _: Any) -> None:
        args, maker = self.stack.pop(), self.stack.pop()
        self.calls += 1
        self.stack.append(Made(maker, args))

    _newobj = _reduce

    def _newobj_ex(self, _: Any) -> None:
        self.stack.pop()
        self._reduce(None)

    def _inst(self, arg: str) -> None:
        args = self._marked()
        self._named(*arg.split(" ", 1))
        self.stack.append(tuple(args))
        self._reduce(None)

    def _obj(self, _: Any) -> None:
        maker, *args = self._marked() or [None]
        self.stack += [maker, tuple(args)]
        self._reduce(None)

    def _build(self, _: Any) -> None:
        state = self.stack.pop()
        if isinstance(self.stack[-1], Made):
            self.stack[-1].state = state

    def _persid(self, arg: str) -> None:
        self.stack.append(Persistent(arg))

    def _binpersid(self, _: Any) -> None:
        self.stack.append(Persistent(self.stack.pop()))


class Finder:
    """Finds arrays in what a pickle would be."""

    def __init__(self, listing: Listing) -> None:
        self.listing = listing
        self.visits = 0
        self.cut = False

    def look(self, value: Any, name: str = "", depth: int = 0) -> None:
        """List the arrays below `value`."""
        self.visits += 1
        if self.visits > MAX_VISITS or depth > MAX_DEPTH:
            self.cut = True
            return
        if isinstance(value, Made):
            self._made(value, name, depth)
        elif isinstance(value, dict):
            for key, one in value.items():
                self.look(one, f"{name}.{key}" if name else str(key), depth + 1)
        elif isinstance(value, (list, tuple)):
            for number, one in enumerate(value):
                if isinstance(one, (Made, dict, list, tuple)):
                    self.look(one, f"{name}.{number}" if name else str(number), depth + 1)

    def _made(self, made: Made, name: str, depth: int) -> None:
        if found := tensor(made) or array(made):
            dtype, shape = found
            self.listing.add(name, dtype, shape)
            return
        if made.maker in WRAPPED and made.args:
            self.look(made.args[0], name, depth + 1)
            return
        self.look(made.items, name, depth + 1)
        for part in (made.state, list(made.args)):
            self.look(part, name, depth + 1)


def tensor(made: Made) -> tuple[str, tuple[int, ...]] | None:
    """Return type and shape of what would be a tensor of PyTorch."""
    if made.maker not in TENSORS or len(made.args) < 3 or not whole(made.args[2]):
        return None
    storage = made.args[0].key if isinstance(made.args[0], Persistent) else ()
    kind = next((one.name for one in storage if isinstance(one, Name)), "") if isinstance(storage, tuple) else ""
    kind = kind.rpartition(".")[2].removesuffix("Storage")
    return STORAGES.get(kind, kind.lower() or "unknown"), made.args[2]


def array(made: Made) -> tuple[str, tuple[int, ...]] | None:
    """Return type and shape of what would be an array of NumPy."""
    if made.maker.endswith("._frombuffer") and made.maker.startswith("numpy.") and len(made.args) > 2:
        dtype, shape = made.args[1:3]  # protocol 5
    elif made.maker not in ARRAYS or not isinstance(made.state, tuple) or len(made.state) < 3:
        return None
    else:
        shape, dtype = made.state[1:3]
    if not whole(shape) or not isinstance(dtype, Made) or not dtype.args or not isinstance(dtype.args[0], str):
        return None
    kind = dtype.args[0]
    size = kind[1:]
    if kind[:1] in KINDS and size.isdigit():
        return KINDS[kind[0]] + str(int(size) * 8), shape
    return {"b1": "bool", "O8": "object", "O": "object"}.get(kind, kind[:100]), shape


def whole(shape: Any) -> bool:
    """Whether this is a shape."""
    return isinstance(shape, tuple) and all(type(one) is int and one >= 0 for one in shape)


def kind_of(value: Any) -> str:
    """Return what the outermost value would be."""
    if isinstance(value, Made):
        return value.maker[:MAX_NAME] or "object"
    return value.name if isinstance(value, Name) else type(value).__name__


def keys_of(value: Any) -> list[str]:
    """Return the keys of the outermost value, where it would be a dictionary."""
    items = value.items if isinstance(value, Made) and value.maker in MAPPINGS else value
    return [key[:MAX_NAME] for key in items if isinstance(key, str)] if isinstance(items, dict) else []
