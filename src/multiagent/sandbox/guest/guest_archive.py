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
import os
import pkgutil
import sys
import types
import zlib

STDLIB = "/python"
LEFT_OUT = frozenset(
    "__phello__ _pyrepl antigravity config-3 ctypes curses dbm ensurepip idlelib lib2to3 pydoc_data site-packages "
    "test this tkinter turtle turtledemo venv __pycache__ webbrowser smtplib imaplib poplib ftplib xmlrpc wsgiref".split()
)
WARM = (
    "abc argparse array ast base64 binascii bisect calendar cmath codecs collections.abc colorsys configparser "
    "contextlib copy csv dataclasses datetime decimal difflib email.message enum errno fnmatch fractions functools "
    "gc glob graphlib gzip hashlib heapq hmac html html.parser inspect io ipaddress itertools json json.tool keyword "
    "linecache locale logging math mimetypes numbers operator os os.path pathlib pickle platform pprint queue random "
    "re reprlib secrets shlex shutil signal sqlite3 statistics string struct sys tempfile textwrap threading time "
    "timeit tokenize tomllib traceback types typing unicodedata unittest urllib.parse uuid warnings weakref "
    "xml.etree.ElementTree zipfile zlib zoneinfo _strptime _pydecimal _pylong"
).split()

_codes: dict[str, tuple[bool, bytes]] = {}
_zones: dict[str, bytes] = {}


class ArchiveImporter(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds and loads the modules kept as compressed code."""

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> importlib.machinery.ModuleSpec | None:
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


def _collect(folder: str, prefix: str) -> None:
    for entry in sorted(os.listdir(folder)):
        path = os.path.join(folder, entry)
        stem, extension = os.path.splitext(entry)
        if stem in LEFT_OUT:
            continue
        if os.path.isdir(path):
            if os.path.exists(os.path.join(path, "__init__.py")):
                _keep(prefix + entry, os.path.join(path, "__init__.py"), package=True)
                _collect(path, prefix + entry + ".")
        elif extension == ".py" and stem != "__init__":
            _keep(prefix + stem, path, package=False)


def _keep(name: str, path: str, *, package: bool) -> None:
    with open(path, "rb") as file:
        source = file.read()
    code = compile(source, f"<stdlib>/{name}", "exec", dont_inherit=True)
    _codes[name] = (package, zlib.compress(marshal.dumps(code), 6))


def _embed_zones() -> None:
    import zoneinfo
    from zoneinfo import _common

    import tzdata

    root = os.path.join(os.path.dirname(tzdata.__file__), "zoneinfo")
    for folder, _, names in os.walk(root):
        for name in names:
            path = os.path.join(folder, name)
            with open(path, "rb") as file:
                data = file.read()
            if data.startswith(b"TZif"):
                _zones[os.path.relpath(path, root)] = data

    def load(key: str) -> io.BytesIO:
        if key not in _zones:
            raise zoneinfo.ZoneInfoNotFoundError(f"No time zone found with key {key}")
        return io.BytesIO(_zones[key])

    def available() -> set[str]:
        return set(_zones)

    _common.load_tzdata = load
    zoneinfo.available_timezones = available
    zoneinfo.reset_tzpath(to=())
