"""How the code is written, where a linter has no rule for it."""

import ast
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = [
    ROOT / name
    for name in subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    if "/migrations/" not in name and (ROOT / name).exists()
]
MOST_POSITIONAL = 3
# Their signatures are Django's.
FIXED_BY_THE_FRAMEWORK = {"database_forwards", "database_backwards", "save_model", "save_related"}

type Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(tree):
    return [
        node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def parameters(node):
    arguments = node.args
    listed = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return listed + [one for one in (arguments.vararg, arguments.kwarg) if one]


def is_fixture(function):
    return any("fixture" in ast.unparse(decorator) for decorator in function.decorator_list)


def names_of_the_file(tree):
    """Its functions and what it imports; a fixture is meant to be asked for by its name."""
    names = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not is_fixture(node):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
    return names


def bound_names(tree):
    """Every parameter and every local, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from ((one.arg, one.lineno) for one in parameters(node))
    for function in functions(tree):
        for node in ast.walk(function):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node.id, node.lineno


@pytest.fixture(scope="module")
def trees():
    return {str(path.relative_to(ROOT)): ast.parse(path.read_bytes()) for path in FILES}


def test_no_parameter_or_local_has_the_name_of_a_function_or_module_of_its_file(trees):
    """Whoever reads `push` has to look up which of two it is."""
    hidden = {
        f"{path}:{line} {name}"
        for path, tree in trees.items()
        for name, line in bound_names(tree)
        if name in names_of_the_file(tree)
    }
    assert sorted(hidden) == []


def test_more_than_three_facts_are_given_by_keyword(trees):
    """Whoever reads a call has to know which of four is which."""
    long = [
        f"{path}:{function.lineno} {function.name}"
        for path, tree in trees.items()
        if "tests/" not in path
        for function in functions(tree)
        if function.name not in FIXED_BY_THE_FRAMEWORK
        and len(
            [
                one
                for one in [*function.args.posonlyargs, *function.args.args]
                if one.arg not in {"self", "cls"}
            ]
        )
        > MOST_POSITIONAL
    ]
    assert long == []


def test_no_fact_is_typed_as_anything(trees):
    """A column given as `**facts: object` is a column that no checker sees."""
    untyped = [
        f"{path}:{function.lineno} {function.name}"
        for path, tree in trees.items()
        for function in functions(tree)
        if (rest := function.args.kwarg) is not None
        and rest.annotation is not None
        and ast.unparse(rest.annotation) == "object"
    ]
    assert untyped == []
