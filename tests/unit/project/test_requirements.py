"""What is asked for is installed at a safe version, and is used."""

import re
from importlib.metadata import PackageNotFoundError, version

import pytest
from packaging.requirements import Requirement

from scripts.budgets import ROOT, sources

FILES = ("requirements.txt", "requirements-dev.txt")
LINES = [line.partition("#")[0].strip() for name in FILES for line in (ROOT / name).read_text().splitlines()]
REQUIRED = [Requirement(line) for line in LINES if line and not line.startswith("-")]
IMPORTED_AS = {"pillow": "PIL"}
INDIRECT = {"brotli", "accelerate"}  # gradio compresses with it; transformers places large models with it
TOOLS = {"pytest", "ruff", "mypy"}


@pytest.mark.parametrize("required", REQUIRED, ids=lambda r: r.name)
def test_the_installed_version_is_one_that_is_asked_for(required: Requirement):
    assert required.specifier, f"{required.name} has no floor"
    assert required.specifier.contains(version(required.name).partition("+")[0])


@pytest.mark.parametrize(
    ("name", "floor", "older"),
    [
        ("gradio", "6.31", "6.30.9"),
        ("torch", "2.10", "2.9.1"),
        ("transformers", "5.17", "5.2"),
        ("safetensors", "0.8", "0.7"),
        ("brotli", "1.2.1", "1.2.0"),
    ],
)
def test_versions_with_known_holes_are_shut_out(name: str, floor: str, older: str):
    required = next(r for r in REQUIRED if r.name == name)
    assert required.specifier.contains(floor) and not required.specifier.contains(older)


def test_transformers_ends_before_the_version_that_takes_the_cache_argument_away():
    required = next(r for r in REQUIRED if r.name == "transformers")
    assert not required.specifier.contains("5.40.0") and required.specifier.contains("5.39.9")


def test_torch_2_13_0_is_admitted():
    assert next(r for r in REQUIRED if r.name == "torch").specifier.contains("2.13.0")


def test_the_package_that_runs_code_from_a_config_is_not_installed():
    with pytest.raises(PackageNotFoundError):  # CVE-2026-4372
        version("kernels")


def test_every_package_is_used():
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources() if path.suffix == ".py")
    for required in REQUIRED:
        name = IMPORTED_AS.get(required.name, required.name.replace("-", "_"))
        if required.name not in INDIRECT | TOOLS:
            assert re.search(rf"^\s*(?:from|import) {name}\b|import_module\(\"{name}\b", text, re.M), (
                f"{required.name} is imported nowhere"
            )
