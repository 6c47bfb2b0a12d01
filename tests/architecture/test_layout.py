"""The house keeps its order: layers, names, sizes and first sentences, checked on the files themselves."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BACKEND = ROOT / "backend"
MODULES = sorted(path for path in BACKEND.rglob("*.py") if "versions" not in path.parts)
TOP_LEVEL = {"backend", "sdk_js", "sdk_python", "tests", "pyproject.toml", "README.md"}
BESIDE = {"requirements", "Makefile", "LICENSE", "CHANGELOG.md"}
LONGEST_FILE = 330
LONGEST_FUNCTION = 60


def _tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    return listed.stdout.split()


def test_every_layer_imports_only_those_below_it() -> None:
    """The contracts are written in pyproject.toml; import-linter reads them."""
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([str(linter), "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_says_in_its_first_sentence_what_it_is(path: Path) -> None:
    told = ast.get_docstring(ast.parse(path.read_text()))
    assert told, f"{path} has no docstring"
    assert told.splitlines()[0].rstrip().endswith((".", "?", ":", "!")) or "\n" in told, told
    assert len(told) > 15, told


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_public_function_promises_in_its_docstring_what_it_does(path: Path) -> None:
    tree = ast.parse(path.read_text())
    bare = [
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and ast.get_docstring(node) is None
    ]
    assert not bare, f"{path} leaves {bare} unexplained"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_stay_short_enough_to_be_read(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= LONGEST_FILE or path.name == "tables.py", f"{path} has {text.count(chr(10))} lines"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno
            assert length <= LONGEST_FUNCTION, f"{path}: {node.name} has {length} lines"


def test_no_file_collects_leftovers() -> None:
    names = {path.stem for path in BACKEND.rglob("*.py")}
    assert not names & {"utils", "util", "helpers", "helper", "common", "misc", "models", "constants"}


def test_the_top_level_holds_what_the_card_allows() -> None:
    top = {name.split("/")[0] for name in _tracked()}
    assert {name for name in top if not name.startswith(".")} <= TOP_LEVEL | BESIDE


def test_verbs_live_in_the_pipeline_and_i_o_stays_out_of_the_domain() -> None:
    for path in (BACKEND / "domain").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            read = isinstance(node, ast.Attribute) and node.attr in {"now", "utcnow", "today"}
            assert not (read and ast.unparse(node.value) in {"datetime", "date"}), f"{path} reads the clock"


def test_our_own_modules_are_never_patched() -> None:
    for path in (ROOT / "tests").rglob("*.py"):
        if path != Path(__file__):
            text = path.read_text()
            assert 'monkeypatch.setattr("backend' not in text, path
            assert "mock.patch" not in text, path
