"""House style in numbers: how long, how deep, how wide code may be, and what it is called.

Each rule yields a `Breach` for each place; `RULES` names them all.
"""

import ast
from collections import defaultdict
from collections.abc import Callable, Iterator

from tests.support.house.source import (
    FLOORS,
    Breach,
    Function,
    Source,
    functions,
    walked,
)

FILE_LINES, TEST_LINES = 400, 600
BODY_LINES, MATCH_LINES, ARM_LINES = 40, 60, 3
NESTING = 3
PARAMETERS = 5
DOCSTRING_LINES = 6
BROAD_EXCEPTS = 2
BAD_NAMES = frozenset({"util", "utils", "helper", "helpers", "common", "manager", "base"})

_BLOCKS = (
    ast.If,
    ast.For,
    ast.AsyncFor,
    ast.While,
    ast.With,
    ast.AsyncWith,
    ast.Try,
    ast.TryStar,
    ast.Match,
)
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


def file_length(source: Source) -> Iterator[Breach]:
    """A file has at most 400 lines, a test file 600."""
    limit = TEST_LINES if source.floor == "tests" else FILE_LINES
    lines = len(source.text.splitlines())
    if lines > limit:
        yield Breach(
            source.path,
            lines,
            "file-length",
            f"{lines} lines, at most {limit}: make it a folder with one file per noun",
        )


def body_length(source: Source) -> Iterator[Breach]:
    """A function's body has at most 40 lines; 60 if it is one match with arms of three lines."""
    for function in functions(source.tree):
        body = _without_docstring(function.body)
        if not body:
            continue
        lines = (function.end_lineno or 0) - body[0].lineno + 1
        limit = MATCH_LINES if _is_pure_match(body) else BODY_LINES
        if lines > limit:
            advice = f"`{function.name}` has {lines} lines, at most {limit}: give its steps names"
            yield Breach(source.path, function.lineno, "body-length", advice)


def nesting(source: Source) -> Iterator[Breach]:
    """Blocks stand at most three deep in a function; `elif` is no deeper than its `if`."""
    for function in functions(source.tree):
        deepest = max((_depth(statement) for statement in function.body), default=0)
        if deepest > NESTING:
            advice = f"`{function.name}` is {deepest} deep, at most {NESTING}: name the inner part"
            yield Breach(source.path, function.lineno, "nesting", advice)


def parameter_count(source: Source) -> Iterator[Breach]:
    """A function has at most five parameters; tests and fixtures ask for what they need."""
    for function in _called_by_us(source):
        count = len(_parameters(function))
        if count > PARAMETERS:
            advice = f"`{function.name}` has {count}, at most {PARAMETERS}: make them a Struct"
            yield Breach(source.path, function.lineno, "parameters", advice)


def keyword_only(source: Source) -> Iterator[Breach]:
    """Two parameters of one type are keyword-only, so that nobody can swap them.

    Only annotations that are equal as written are found. Exempt: operators and other magic
    methods, whose callers are Python, and constructors of exceptions, which are copied and
    unpickled by position.
    """
    by_position = _exempt_from_keywords(source.tree)
    for function in _called_by_us(source):
        if function in by_position:
            continue
        owners: dict[str, list[str]] = defaultdict(list)
        for parameter in _by_position(function):
            if parameter.annotation is not None:
                owners[ast.unparse(parameter.annotation)].append(parameter.arg)
        for kind, names in owners.items():
            if len(names) > 1:
                told = ", ".join(names)
                advice = f"`{function.name}` has {told} of type {kind}: put a `*` before them"
                yield Breach(source.path, function.lineno, "keyword-only", advice)


def module_docstring(source: Source) -> Iterator[Breach]:
    """A file says what it knows and what it refuses to know, in six lines or less."""
    docstring = ast.get_docstring(source.tree) or ""
    lines = sum(1 for line in docstring.splitlines() if line.strip())
    if not lines and source.text.strip():
        yield Breach(source.path, 1, "module-docstring", "say what this file knows")
    elif source.floor in FLOORS and lines > DOCSTRING_LINES:
        advice = f"{lines} lines, at most {DOCSTRING_LINES}: say less, or let functions say it"
        yield Breach(source.path, 1, "module-docstring", advice)


def file_name(source: Source) -> Iterator[Breach]:
    """A file is named for what it holds."""
    for part in source.module.split("."):
        if bad := BAD_NAMES.intersection(part.split("_")):
            advice = f"`{'`, `'.join(sorted(bad))}` says nothing: name it for what it holds"
            yield Breach(source.path, 1, "file-name", advice)


def broad_except(source: Source) -> Iterator[Breach]:
    """Events and projections catch nothing that they do not know; see `broad_excepts`."""
    if source.floor in {"events", "projections"}:
        yield from _broad(source)


def broad_excepts(sources: list[Source]) -> Iterator[Breach]:
    """In the whole daemon at most two handlers catch everything."""
    found = [breach for source in sources if source.floor == "daemon" for breach in _broad(source)]
    if len(found) > BROAD_EXCEPTS:
        yield from found


RULES: tuple[Callable[[Source], Iterator[Breach]], ...] = (
    file_length,
    body_length,
    nesting,
    parameter_count,
    keyword_only,
    module_docstring,
    file_name,
    broad_except,
)


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    first = body[0]
    is_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    return body[1:] if is_docstring else body


def _is_pure_match(body: list[ast.stmt]) -> bool:
    if len(body) != 1 or not isinstance(body[0], ast.Match):
        return False
    return all(
        (arm.body[-1].end_lineno or 0) - arm.body[0].lineno < ARM_LINES for arm in body[0].cases
    )


def _depth(node: ast.AST) -> int:
    if isinstance(node, _SCOPES):
        return 0
    deepest = max((_depth(child) for child in _inner(node)), default=0)
    return deepest + isinstance(node, _BLOCKS)


def _inner(node: ast.AST) -> Iterator[ast.AST]:
    """Children, with each `elif` taken for a child of the same level as its `if`."""
    for child in ast.iter_child_nodes(node):
        is_elif = (
            isinstance(node, ast.If)
            and isinstance(child, ast.If)
            and node.orelse == [child]
            and child.col_offset == node.col_offset
        )
        if is_elif:
            yield from _inner(child)
        else:
            yield child


def _called_by_us(source: Source) -> Iterator[Function]:
    """Functions that our own code calls: neither tests nor fixtures."""
    for function in functions(source.tree):
        decorators = " ".join(ast.unparse(decorator) for decorator in function.decorator_list)
        is_test = source.floor == "tests" and function.name.startswith("test_")
        if not is_test and "fixture" not in decorators:
            yield function


def _by_position(function: Function) -> list[ast.arg]:
    found = [*function.args.posonlyargs, *function.args.args]
    return [parameter for parameter in found if parameter.arg not in {"self", "cls"}]


def _parameters(function: Function) -> list[ast.arg]:
    rest = [function.args.vararg, function.args.kwarg]
    return [
        *_by_position(function),
        *function.args.kwonlyargs,
        *(parameter for parameter in rest if parameter is not None),
    ]


def _exempt_from_keywords(tree: ast.Module) -> set[Function]:
    exempt = {
        function
        for function in functions(tree)
        if function.name.startswith("__") and function.name not in {"__init__", "__call__"}
    }
    for node in walked(tree):
        if isinstance(node, ast.ClassDef) and _is_exception(node):
            exempt.update(function for function in functions(node) if function.name == "__init__")
    return exempt


def _is_exception(node: ast.ClassDef) -> bool:
    bases = [ast.unparse(parent) for parent in node.bases]
    return any(parent.endswith(("Exception", "Error")) for parent in bases)


def _broad(source: Source) -> Iterator[Breach]:
    advice = f"catch what can happen; at most {BROAD_EXCEPTS} in the daemon, which record or raise"
    for node in source.nodes:
        caught: ast.expr | None = None
        if isinstance(node, ast.ExceptHandler):
            caught = node.type
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("suppress"):
            caught = ast.Tuple(elts=node.args)
        else:
            continue
        if caught is None or _names(caught) & {"Exception", "BaseException"}:
            yield Breach(source.path, node.lineno, "broad-except", advice)


def _names(node: ast.expr) -> set[str]:
    return {name.id for name in ast.walk(node) if isinstance(name, ast.Name)}
