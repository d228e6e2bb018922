#!/usr/bin/env python3
"""Checks what a reader relies on: the words of GLOSSARY.md, sizes, headers, folders and the documents' links.

    tools/check_style.py [ROOT]     prints path:line: what is wrong; exit 1 if anything is

Only names that we give are checked, not those of libraries (after ".", "->" or "::").
tests/lint/check_style_test.py plants a violation of each kind and sees it caught.
"""
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from check_layers import code_only  # noqa: E402

FILE_LINES_MAX = 600
LINE_COLUMNS_MAX = 120
FUNCTION_LINES_MAX = 70

# Word in a name: the word to use instead (GLOSSARY.md).
REFUSED_WORDS = {
    "piece": "shard", "pieces": "shards", "chunk": "shard", "chunks": "shards", "chunked": "sharded",
    "fragment": "shard", "fragments": "shards", "overlay": "mesh", "worker": "lcore", "workers": "lcores",
    "batch": "burst", "batches": "bursts", "batched": "burst", "coding_vector": "coefficient_vector",
    "manager": "what it does", "helper": "what it does", "helpers": "what it does", "util": "what it does",
    "utils": "what it does", "handler": "what it does", "impl": "what it is",
}
REFUSED_FOLDERS = {"common", "utils", "util", "misc", "helpers", "shared"}
SKIPPED_FOLDERS = {"build", ".git", "node_modules", "corpus", "vectors", "run", ".cache", "__pycache__"}
CODE = {".h", ".hpp", ".cpp", ".cc", ".c", ".def", ".py", ".sh", ".proto", ".cmake", ".js", ".mjs", ".nft"}
CPP = {".h", ".hpp", ".cpp", ".cc", ".c", ".def"}

IDENTIFIER = re.compile(r"(?<![\w.:>])(?<!->)[A-Za-z_]\w*")


def files(root):
    """Every text file of the checkout that is ours, relative to the root."""
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root)
        if not SKIPPED_FOLDERS.intersection(relative.parts[:-1]) and path.is_file() and not path.is_symlink():
            yield relative


def is_code(root, path):
    if path.suffix in CODE or path.name == "CMakeLists.txt":
        return True
    if path.suffix:
        return False
    with open(root / path, "rb") as file:
        return file.read(2) == b"#!"


def words_of(identifier):
    """snake_case and CamelCase to a list of lower-case words."""
    spaced = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", identifier)
    return [word for word in spaced.lower().split("_") if word]


def check_names(code):
    for number, line in enumerate(code.split("\n"), 1):
        if line.lstrip().startswith("#"):
            continue
        for match in IDENTIFIER.finditer(line):
            name = match.group(0)
            words = words_of(name)
            for word in words:
                if word in REFUSED_WORDS:
                    yield number, f"{name}: say {REFUSED_WORDS[word]} (GLOSSARY.md)"
            if "coding_vector" in name.lower():
                yield number, f"{name}: say coefficient_vector (GLOSSARY.md)"
            if name.startswith("get_"):
                yield number, f"{name}: no get_ prefix"


def scope_kind(header):
    """What a "{" opens, by the text before it: a scope that holds definitions, a function body, or anything else."""
    if re.search(r"\b(namespace|class|struct|union|enum)\b(?![^(]*\))", header) or re.search(r'extern\s*"', header):
        return "scope"
    outer = re.sub(r"\([^()]*\)", "()", re.sub(r"\([^()]*\)", "()", re.sub(r"\([^()]*\)", "()", header)))
    if "()" in outer and not re.search(r"(?<![=!<>])=(?!=)", re.sub(r"operator\s*[=<>!+*/-]+", "operator", outer)):
        return "function"
    return "other"


def check_functions(code):
    """Functions longer than FUNCTION_LINES_MAX lines, by matching braces outside function bodies."""
    stack = []
    code = re.sub(r"(?m)^\s*#(?:.*\\\n)*.*$", lambda m: re.sub(r"[^\n]", " ", m.group(0)), code)
    line = 1
    header, header_line = "", 1
    for character in code:
        if character == "\n":
            line += 1
        if character == "{":
            inside = any(kind == "function" for kind, _, _ in stack)
            kind = "other" if inside else scope_kind(header)
            stack.append((kind, header_line, header.strip().split("(")[0][-60:].strip()))
        elif character == "}" and stack:
            kind, start, name = stack.pop()
            if kind == "function" and line - start + 1 > FUNCTION_LINES_MAX:
                yield start, f"{name}: {line - start + 1} lines, at most {FUNCTION_LINES_MAX}"
        if character in "{};":
            header = ""
        else:
            if not header.strip():
                header_line = line
            header += character


def check_code(root, path, text):
    lines = text.split("\n")
    if len(lines) - 1 > FILE_LINES_MAX:
        yield 1, f"{len(lines) - 1} lines, at most {FILE_LINES_MAX}"
    for number, line in enumerate(lines, 1):
        if len(line) > LINE_COLUMNS_MAX:
            yield number, f"{len(line)} columns, at most {LINE_COLUMNS_MAX}"
        if line != line.rstrip():
            yield number, "space at the end of the line"
        if re.search(r"\b(FIX" + r"ME|TO" + r"DO|X" + r"XX)\b", line):
            yield number, "an unfinished part: finish it or file an issue"
    if path.suffix in CPP:
        code = code_only(text)
        yield from check_names(code)
        yield from check_functions(code)
    if path.suffix in {".h", ".hpp"} and not re.search(r"(?m)^#pragma once$", text):
        yield 1, "a header starts with #pragma once"


def anchor_of(heading):
    """The anchor that a heading gets on the usual hosts."""
    text = re.sub(r"[`*]|\[|\]\([^)]*\)", "", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def anchors(path):
    return {anchor_of(m.group(1)) for m in re.finditer(r"(?m)^#+\s+(.*)$", path.read_text(encoding="utf-8"))}


def check_links(root, path, text):
    prose = re.sub(r"(?ms)^```.*?^```", lambda m: re.sub(r"[^\n]", " ", m.group(0)), text)
    prose = re.sub(r"`[^`\n]*`", lambda m: " " * len(m.group(0)), prose)
    for number, line in enumerate(prose.split("\n"), 1):
        for match in re.finditer(r"\]\(([^)\s]+)\)", line):
            link = match.group(1)
            if re.match(r"[a-z]+:", link):
                continue
            target, _, anchor = link.partition("#")
            file = root / path.parent / target if target else root / path
            if not file.exists():
                yield number, f"link to {link}: no such file"
            elif anchor and file.suffix == ".md" and anchor not in anchors(file):
                yield number, f"link to {link}: no such heading"


def check_figures(text):
    """A section of the README that has a table of figures names the command that makes them."""
    number = r"\|\s*\**[<>≤≥~]?\s*\d[\d,.]*\s*(?:%|×|x|ms|µs|us|s|MB|KiB|MiB|GB/s|kpps|Mpps)?\**\s*(?=\|)"
    sections = re.split(r"(?m)^(?=#+ )", text)
    line = 1
    for section in sections:
        rows = re.findall(r"(?m)^\|.*\|\s*$", section)
        figures = [row for row in rows if len(re.findall(number, row)) >= 2]
        if len(figures) >= 2 and not re.search(r"tools/bench|ctest|corelay sim", section):
            yield line, f"{section.splitlines()[0]!r}: figures without the command that makes them (tools/bench ...)"
        line += section.count("\n")


def check(root):
    """Every violation under the root, as "path:line: what"."""
    root = pathlib.Path(root)
    problems = []
    for path in files(root):
        refused = REFUSED_FOLDERS.intersection(path.parts[:-1])
        if refused:
            problems.append(f"{path}:1: folder {refused.pop()}/: name it by what it holds")
        found = []
        if path.suffix == ".md":
            text = (root / path).read_text(encoding="utf-8", errors="replace")
            found += check_links(root, path, text)
            if path.as_posix() == "README.md":
                found += check_figures(text)
        elif is_code(root, path):
            found += check_code(root, path, (root / path).read_text(encoding="utf-8", errors="replace"))
        problems += [f"{path}:{number}: {what}" for number, what in found]
    return problems


def main():
    root = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parent.parent
    problems = check(root)
    for problem in problems:
        print(problem)
    print(f"check_style: {sum(1 for _ in files(root))} files, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
