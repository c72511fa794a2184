"""What the command line reads and writes: streams that take any text, files that are checked before anything is computed."""

from __future__ import annotations

import errno
import os
import sys
import tempfile
from pathlib import Path

from model.errors import PlaygroundError, SettingError
from model.request import LINE_ENDS


def take_any_text() -> None:
    """Let both streams spell out what their encoding lacks, instead of failing on it with the whole answer."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure:
            reconfigure(errors="backslashreplace")


def check_file(path: Path | None, option: str) -> None:
    """Refuse a file that cannot be written, before anything runs; raise SettingError."""
    if path is None:
        return
    folder = path.parent
    if path.is_dir():
        raise SettingError(f"--{option} must name a file; {path} is a folder.", option)
    if not folder.is_dir():
        raise SettingError(f"--{option} cannot be written: there is no folder {folder}.", option)
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise SettingError(f"--{option} cannot be written: {path} is not yours to write.", option)


def make_folder(path: Path | None, option: str) -> None:
    """Make a folder that files go to, before anything runs; raise SettingError where that cannot be."""
    if path is None:
        return
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingError(f"--{option} must name a folder; {path} cannot be one: {_why(error)}.", option) from None
    if not os.access(path, os.W_OK):
        raise SettingError(f"--{option} cannot be written: {path} is not yours to write.", option)


def write(path: Path, text: str) -> None:
    """Write a whole file or none of it; raise PlaygroundError with one sentence. What is no ordinary file is written to as it is."""
    path = path.resolve() if path.is_symlink() else path
    try:
        if path.exists() and not path.is_file():
            path.write_text(text, encoding="utf-8")
            return
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask()
        made, part = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with open(made, "w", encoding="utf-8", newline="\n") as file:
                file.write(text)
            os.chmod(part, mode)
            os.replace(part, path)
        except BaseException:
            Path(part).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise PlaygroundError(f"{path} was not written: {_why(error)}.") from None


def lines_of(path: Path) -> list[str]:
    """Return a file's lines that hold text; a byte-order mark, form feeds and Unicode's own separators end none. Raise SettingError."""
    try:
        lines = [line for line in LINE_ENDS.split(path.read_text(encoding="utf-8-sig")) if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f"The file of prompts cannot be read: {error}.", "prompts") from None
    if not lines:
        raise SettingError(f"The file of prompts must have at least 1 line with text; {path} has none.", "prompts")
    return lines


def _umask() -> int:
    now = os.umask(0)
    os.umask(now)
    return now


def _why(error: OSError) -> str:
    return "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else (error.strerror or str(error)).lower()
