"""`python -m playground talk [FOLDER-OR-FILE]`: a playlist of runs as a full-screen page for a room; it is one file and needs no server."""

from __future__ import annotations

import argparse
import sys
import tempfile
import webbrowser
from pathlib import Path

from playground.cli.output import check_file, write
from playground.web.views.talk import SHIPPED, playlist, talk_html


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `talk`."""
    about = "traces (NAME.json, or a folder NAME of up to four) with notes (NAME.md), by name; or one trace (default: those that ship)"
    parser.add_argument("folder", metavar="FOLDER-OR-FILE", nargs="?", type=Path, default=SHIPPED, help=about)
    parser.add_argument(
        "--html", metavar="FILE", type=Path, help="write the page there, to take it along, and do not open it"
    )


def talk(args: argparse.Namespace) -> int:
    """Write the page and open it."""
    check_file(args.html, "html")
    page = talk_html(playlist(args.folder), f"Inkblot: {args.folder.name}")
    path = args.html or Path(tempfile.mkdtemp(prefix="inkblot-")) / "talk.html"
    write(path, page)
    print(path, flush=True)
    if not args.html and not webbrowser.open(path.resolve().as_uri()):
        print("No browser could be opened; open that file in one. ? lists the keys.", file=sys.stderr)
    return 0
