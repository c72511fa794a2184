"""Keep the layers apart: who may import whom, what may be imported while a module loads, and a few calls that are banned.

`python -m scripts.import_rules` prints each violation as path:line: sentence and ends with 1 if there is one.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from scripts.budgets import ROOT, sources

CONTRACTS = (
    "errors",
    "settings",
    "spec",
    "request",
    "entry",
    "run",
    "text",
    "paths",
    "trace*",
    "worlds*",
    "sudoku*",
    "loops.orders",
    "loops.schedules",
)


@dataclass(frozen=True)
class Rule:
    """Modules matching one of `where` never import one of `banned`: not at all, or (`loading`) not while they load."""

    where: tuple[str, ...]
    banned: tuple[str, ...]
    loading: bool = False

    def applies(self, module: str) -> bool:
        return any(fnmatch(module, pattern) for pattern in self.where)


MODEL, PLAYGROUND = ("model", "model.*"), ("playground", "playground.*")
FLOORS = (  # each may import from those before it, never from those behind it
    ("model.errors", "model.text", "model.paths", "model.settings", "model.spec", "model.worlds", "model.sudoku"),
    ("model.trace",),
    ("model.loops", "model.request", "model.run", "model.entry"),
    ("model.models",),
    ("model.engine",),
    ("playground.compare", "playground.presets"),
    ("playground.web", "playground.cli"),
)
NO_GRADIO = tuple(f"playground{part}" for part in ("", ".__main__", ".presets", ".compare*", ".cli*", ".web.views*"))
RULES = (
    Rule(MODEL, ("playground", "training", "bench", "gradio")),
    Rule(("training", "training.*"), ("playground", "bench", "gradio")),
    Rule(PLAYGROUND, ("torch", "transformers", "accelerate", "training")),
    Rule(("playground.web*",), ("model.models",)),
    Rule(
        tuple(f"model.{name}" for name in CONTRACTS) + ("model",),
        ("torch", "transformers", "safetensors", "tokenizers"),
    ),
    Rule(
        (*MODEL, *PLAYGROUND, "app", "bench", "bench.*"),
        ("transformers", "accelerate", "plotly", "PIL", "rich"),
        loading=True,
    ),
    Rule(
        ("model.engine", "model.engine.catalog", "model.models", "model.models.*record*", "app"),
        ("torch",),
        loading=True,
    ),
    Rule(NO_GRADIO, ("gradio",), loading=True),
    Rule(("model*", "playground*", "training*", "bench*", "app"), ("pickle", "dill", "joblib")),
    *(
        Rule(tuple(f"{room}*" for room in floor), tuple(room for above in FLOORS[i + 1 :] for room in above))
        for i, floor in enumerate(FLOORS)
    ),
)
SHIPPED = ("model", "playground", "app")
GLOBAL_SEED = "a run has its own generator: the global seed is everybody's"
BANNED_CALLS = {
    "torch.load": "weights come from safetensors only: it may run code",
    "torch.manual_seed": GLOBAL_SEED,
    "torch.random.manual_seed": GLOBAL_SEED,
    "torch.cuda.manual_seed": GLOBAL_SEED,
    "torch.cuda.manual_seed_all": GLOBAL_SEED,
    "transformers.set_seed": GLOBAL_SEED,
    "random.seed": GLOBAL_SEED,
    "np.random.seed": GLOBAL_SEED,
}
BANNED_ARGUMENTS = {
    ("sanitize_html", False): "HTML from a model or a visitor must be sanitised",
    ("queue", False): "an event outside the queue is reachable without limit",
    ("share", True): "a public tunnel is opened by the visitor, never by us",
    ("debug", True): "debug mode shows the inside to visitors",
    ("show_error", True): "only our own sentences are shown to visitors",
    ("trust_remote_code", True): "remote code needs a flag, an allow-list and a pinned revision",
}


def module_name(path: Path, root: Path) -> str:
    """Return the dotted name of the module at `path`."""
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(tree: ast.Module, module: str, is_package: bool) -> Iterator[tuple[int, str, bool]]:
    """Yield (line, absolute name, whether it happens while the module loads); imports for type checkers are left out."""

    def visit(node: ast.AST, loading: bool) -> Iterator[tuple[int, str, bool]]:
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            for child in node.orelse:
                yield from visit(child, loading)
            return
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name, loading) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = module.split(".") if is_package else module.split(".")[:-1]
            base = base[: len(base) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{source}.{alias.name}", loading) for alias in node.names)
        inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            yield from visit(child, loading and not inside)

    yield from visit(tree, True)


def broken_imports(tree: ast.Module, module: str, is_package: bool) -> Iterator[tuple[int, str]]:
    """Yield (line, sentence) for every import that a rule forbids."""
    rules = [rule for rule in RULES if rule.applies(module)]
    for line, name, loading in imports(tree, module, is_package):
        for rule in rules:
            hit = next((b for b in rule.banned if name == b or name.startswith(b + ".")), None)
            if hit and (loading or not rule.loading):
                yield line, f"{module} may not import {hit}{' while it loads' if rule.loading else ''}."


def broken_calls(tree: ast.Module, module: str) -> Iterator[tuple[int, str]]:
    """Yield (line, sentence) for every banned call, argument or template in shipped code."""
    if module.split(".")[0] not in SHIPPED:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in BANNED_CALLS:
                yield node.lineno, f"{name} is banned: {BANNED_CALLS[name]}."
            for keyword in node.keywords:
                value = keyword.value.value if isinstance(keyword.value, ast.Constant) else None
                reason = BANNED_ARGUMENTS.get((keyword.arg or "", value)) if isinstance(value, bool) else None
                if reason:
                    yield node.lineno, f"{keyword.arg}={value!r} is banned: {reason}."
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "{{value" in node.value.replace(" ", ""):
            yield node.lineno, "a {{value}} template is banned: what it inserts is evaluated as a script."


def violations(root: Path = ROOT) -> list[str]:
    """Return one path:line: sentence for every broken rule under `root`."""
    out = []
    for path in sources(root):
        if path.suffix != ".py" or path.relative_to(root).parts[0] in ("tests", "scripts"):
            continue
        tree, module = ast.parse(path.read_text(encoding="utf-8")), module_name(path, root)
        found = [*broken_imports(tree, module, path.name == "__init__.py"), *broken_calls(tree, module)]
        out += [f"{path.relative_to(root).as_posix()}:{line}: {sentence}" for line, sentence in sorted(set(found))]
    return out


def gone(root: Path = ROOT) -> list[str]:
    """Return a sentence for every module or folder that the floors or contracts name and that is not there."""
    modules = [module_name(path, root) for path in sources(root) if path.suffix == ".py"]
    rooms = [room for floor in FLOORS for room in floor] + [f"model.{name}" for name in CONTRACTS]
    there = lambda room: any(fnmatch(module, room) or module.startswith(f"{room}.") for module in modules)  # noqa: E731
    return [f"scripts/import_rules.py:1: it names {room}, which is gone." for room in rooms if not there(room)]


def main() -> int:
    """Print every violation; return 1 if there is one."""
    found = violations() + gone()
    print("\n".join(found) if found else "import rules: all layers are kept apart")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
