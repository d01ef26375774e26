# mypy: ignore-errors
# ruff: noqa: INP001
"""The standard library inside the image: the common part imported, the rest as compressed code in memory.

A component has no file system of its own, so what is not in the image cannot be imported at run time.
"""

import codecs
import importlib.abc
import importlib.machinery
import importlib.util
import io
import marshal
import pkgutil
import sys
import types
import zlib
from pathlib import Path

STDLIB = Path("/python")
# Of no use without a screen, a network or a package index, and heavy.
LEFT_OUT = frozenset(
    {"__phello__", "__pycache__", "_pyrepl", "antigravity", "config-3", "ctypes", "curses", "dbm", "ensurepip"}
    | {"ftplib", "idlelib", "imaplib", "lib2to3", "poplib", "pydoc_data", "site-packages", "smtplib", "test", "this"}
    | {"tkinter", "turtle", "turtledemo", "venv", "webbrowser", "wsgiref", "xmlrpc"}
)
WARM = (
    *("abc", "argparse", "array", "ast", "base64", "binascii", "bisect", "calendar", "cmath", "codecs", "collections"),
    *("collections.abc", "colorsys", "configparser", "contextlib", "copy", "csv", "dataclasses", "datetime", "decimal"),
    *("difflib", "email.message", "enum", "errno", "fnmatch", "fractions", "functools", "gc", "glob", "graphlib"),
    *("gzip", "hashlib", "heapq", "hmac", "html", "html.parser", "inspect", "io", "ipaddress", "itertools", "json"),
    *("json.tool", "keyword", "linecache", "locale", "logging", "math", "mimetypes", "numbers", "operator", "os"),
    *("os.path", "pathlib", "pickle", "platform", "pprint", "queue", "random", "re", "reprlib", "secrets", "shlex"),
    *("shutil", "signal", "sqlite3", "statistics", "string", "struct", "sys", "tempfile", "textwrap", "threading"),
    *("time", "timeit", "tokenize", "tomllib", "traceback", "types", "typing", "unicodedata", "unittest"),
    *("urllib.parse", "uuid", "warnings", "weakref", "xml.etree.ElementTree", "zipfile", "zlib", "zoneinfo"),
    # What the above import only when they are first used.
    *("_strptime", "_pydecimal", "_pylong"),
)

_codes: dict[str, tuple[bool, bytes]] = {}
_zones: dict[str, bytes] = {}


class ArchiveImporter(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds and loads the modules kept as compressed code."""

    def find_spec(
        self, fullname: str, path: object = None, target: object = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Answer for the archive's own names, and for nothing else."""
        found = _codes.get(fullname)
        if found is None:
            return None
        return importlib.util.spec_from_loader(fullname, self, is_package=found[0])

    def exec_module(self, module: types.ModuleType) -> None:
        """Run a module's code in its namespace."""
        exec(marshal.loads(zlib.decompress(_codes[module.__name__][1])), module.__dict__)  # noqa: S102, S302


def install() -> None:
    """Read the library and the time zones from the build's file system, while it is there."""
    _collect(STDLIB, "")
    sys.meta_path.append(ArchiveImporter())


def warm() -> None:
    """Import what programs use most, and every text encoding, so that instances start with it."""
    for name in WARM:
        importlib.import_module(name)
    import encodings

    for _, name, _ in pkgutil.iter_modules(encodings.__path__):
        try:
            codecs.lookup(name)
        except LookupError:
            continue
    _embed_zones()


def _collect(folder: Path, prefix: str) -> None:
    for path in sorted(folder.iterdir()):
        if path.stem in LEFT_OUT:
            continue
        start = path / "__init__.py"
        if start.exists():
            _keep(prefix + path.name, start, package=True)
            _collect(path, f"{prefix}{path.name}.")
        elif path.suffix == ".py" and path.stem != "__init__":
            _keep(prefix + path.stem, path, package=False)


def _keep(name: str, path: Path, *, package: bool) -> None:
    code = compile(path.read_bytes(), f"<stdlib>/{name}", "exec", dont_inherit=True)
    _codes[name] = (package, zlib.compress(marshal.dumps(code), 6))


def _embed_zones() -> None:
    import zoneinfo
    from zoneinfo import _common

    import tzdata

    root = Path(tzdata.__file__).parent / "zoneinfo"
    for path in root.rglob("*"):
        if path.is_file() and (data := path.read_bytes()).startswith(b"TZif"):
            _zones[path.relative_to(root).as_posix()] = data

    def load(key: str) -> io.BytesIO:
        if key not in _zones:
            raise zoneinfo.ZoneInfoNotFoundError(f"No time zone found with key {key}")
        return io.BytesIO(_zones[key])

    def available() -> set[str]:
        return set(_zones)

    _common.load_tzdata = load
    zoneinfo.available_timezones = available
    zoneinfo.reset_tzpath(to=())
