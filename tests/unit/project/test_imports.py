"""The layers stay apart: in the source, and in what an import really loads."""

import subprocess
import sys
from pathlib import Path

import pytest

from scripts import import_rules
from scripts.budgets import ROOT
from tests.patience import patience

LIGHT = (
    "model",
    "model.errors",
    "model.settings",
    "model.spec",
    "model.request",
    "model.run",
    "model.text",
    "model.trace.trace",
    "model.trace.encode",
    "model.loops.schedules",
    "model.loops.orders",
    "model.engine.catalog",
    "model.engine.parsing",
)
HEAVY = {"torch", "transformers", "gradio", "plotly", "PIL", "rich"}
VIEWS = (
    "playground",
    "playground.compare.race",
    "playground.web.wire",
    "playground.web.components.assets",
    "playground.web.views.plots",
    "playground.cli.main",
)


def loaded(code: str, timeout: float = 60) -> str:
    """Run `code` in a fresh interpreter at the repository's root and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=patience(timeout)
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


def test_the_source_obeys_every_rule():
    assert import_rules.violations() == []


@pytest.mark.parametrize(
    ("path", "code", "said"),
    [
        ("model/a.py", "import gradio", "may not import gradio"),
        ("model/a.py", "def f():\n    from playground import cli", "may not import playground"),
        ("model/models/a.py", "from ...bench import x", "may not import bench"),
        ("model/trace/trace.py", "def f():\n    import torch", "may not import torch"),
        ("model/a.py", "import transformers", "may not import transformers while it loads"),
        ("model/engine/catalog.py", "import torch.nn as nn", "may not import torch while it loads"),
        ("playground/web/handlers/runs.py", "def f():\n    import torch", "may not import torch"),
        ("playground/web/tabs/watch.py", "from model.models import scripted", "may not import model.models"),
        (
            "playground/web/controls.py",
            "def f():\n    from model.models.scripted import Fake",
            "may not import model.models",
        ),
        ("playground/web/views/plots.py", "import plotly.graph_objects as go", "may not import plotly while it loads"),
        ("playground/cli/main.py", "import gradio as gr", "may not import gradio while it loads"),
        ("training/a.py", "import playground.web", "may not import playground"),
        ("model/loops/masked.py", "from model.engine import catalog", "may not import model.engine"),
        ("playground/compare/race.py", "from playground.web import wire", "may not import playground.web"),
        ("model/a.py", "import pickle", "may not import pickle"),
        ("model/a.py", "torch.load('x', weights_only=True)", "torch.load is banned"),
        ("model/a.py", "torch.manual_seed(0)", "torch.manual_seed is banned"),
        ("model/a.py", "f(trust_remote_code=True)", "trust_remote_code=True is banned"),
        ("playground/a.py", "gr.HTML(sanitize_html=False)", "sanitize_html=False is banned"),
        ("playground/a.py", "b.click(f, queue=False)", "queue=False is banned"),
        ("playground/a.py", "t = '<b>{{ value }}</b>'", "template is banned"),
        ("app.py", "demo.launch(share=True)", "share=True is banned"),
    ],
)
def test_each_rule_can_fail(tmp_path: Path, path: str, code: str, said: str):
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).write_text(code + "\n")
    found = import_rules.violations(tmp_path)
    assert len(found) == 1 and said in found[0] and found[0].startswith(f"{path}:")


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("model/a.py", "def f():\n    import transformers"),
        ("model/a.py", "generator.manual_seed(seed)"),
        ("model/a.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import transformers"),
        ("playground/web/handlers/runs.py", "import gradio\nfrom model.run import Request"),
        ("training/a.py", "import torch\ntorch.manual_seed(0)"),
        ("playground/a.py", "gr.HTML(html_template='${value}', queue=True)"),
    ],
)
def test_what_is_allowed_is_not_reported(tmp_path: Path, path: str, code: str):
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).write_text(code + "\n")
    assert import_rules.violations(tmp_path) == []


@pytest.mark.parametrize("module", LIGHT + VIEWS)
def test_a_light_module_loads_nothing_heavy(module: str):
    assert loaded(f"import {module}, sys; print(sorted({HEAVY} & set(sys.modules)))") == "[]"


def test_the_pages_load_neither_torch_nor_transformers():
    modules = [
        import_rules.module_name(path, ROOT) for path in sorted((ROOT / "playground" / "web").rglob("[!_]*.py"))
    ] + ["app"]
    assert len(modules) > 10
    code = f"import importlib, sys\nfor name in {modules}: importlib.import_module(name)\n"
    assert loaded(code + "print(sorted({'torch', 'transformers'} & set(sys.modules)))") == "[]"


@pytest.mark.slow
@pytest.mark.parametrize("model", ["worlds", "worlds-noisy", "sudoku", "builtin"])
def test_a_built_in_model_loads_and_writes_without_transformers(model: str):
    code = f"from model import load\nnext(load('{model}').denoise('easy'))\n"
    assert (
        loaded(
            code + "import sys; print(sorted({'transformers', 'gradio', 'pandas'} & set(sys.modules)))",
            timeout=180,
        )
        == "[]"
    )


@pytest.mark.slow
def test_importing_anything_starts_nothing():
    """No connection, no thread and no CUDA by the import of any module of ours."""
    files = [
        path for top in ("model", "playground", "bench", "training") for path in sorted((ROOT / top).rglob("*.py"))
    ]
    modules = [import_rules.module_name(path, ROOT) for path in files if path.name != "__main__.py"]
    assert len(modules) > 10
    code = f"""
import importlib, socket, sys, threading
for heavy in ("gradio", "torch", "transformers"):
    importlib.import_module(heavy)
def refuse(*_):
    raise AssertionError("an import opened a connection")
socket.socket.connect = refuse
before = set(threading.enumerate())
for name in {modules}:
    importlib.import_module(name)
import torch
assert set(threading.enumerate()) == before, threading.enumerate()
assert not torch.cuda.is_initialized()
print("quiet")
"""
    assert loaded(code, timeout=180).endswith("quiet")


def test_a_room_that_the_rules_name_must_be_there(monkeypatch):
    from scripts import import_rules

    assert import_rules.gone() == []
    monkeypatch.setattr(import_rules, "FLOORS", (*import_rules.FLOORS, ("model.attic",)))
    assert import_rules.gone() == ["scripts/import_rules.py:1: it names model.attic, which is gone."]
