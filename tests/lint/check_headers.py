#!/usr/bin/env python3
"""Compiles every header of ours alone: none may rely on what was included before it.

    check_headers.py ROOT BUILD_FOLDER [HEADER...]

The compiler, the include paths and the defines are those of BUILD_FOLDER/compile_commands.json. Each header is included
twice by one generated file, so a missing guard is an error too. With ccache a warm run takes a second or two.
"""
import concurrent.futures
import json
import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import tempfile

ROOMS = ("codec", "dataplane", "control", "sim", "tools", "tests", "bench")


def compile_flags(build):
    """The compiler, and the include folders and defines that any of our compile commands has."""
    commands = json.loads((build / "compile_commands.json").read_text())
    flags, compiler = [], None
    for command in commands:
        words = shlex.split(command["command"])
        position = next(i for i, word in enumerate(words) if word.startswith("-"))
        if command["file"].endswith(".cpp"):
            compiler = words[position - 1] if compiler is None else compiler
        for i, word in enumerate(words):
            flag = [word, words[i + 1]] if word in ("-isystem", "-I") else [word]
            if flag[0].startswith(("-I", "-isystem", "-D")) and flag not in flags:
                flags.append(flag)
    return compiler or "c++", [word for flag in flags for word in flag]


def compile_header(compiler, flags, folder, header):
    """The compiler's complaint about one header, or None."""
    unit = pathlib.Path(folder) / (header.replace("/", "_") + ".cpp")
    unit.write_text(f'#include "{header}"\n#include "{header}"\n')
    launcher = ["ccache"] if shutil.which("ccache") else []
    command = [*launcher, compiler, "-std=c++20", "-O0", "-g0", "-Wall", "-Wextra", "-Werror", *flags,
               "-c", unit.name, "-o", unit.name + ".o"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    return None if done.returncode == 0 else f"{header}: does not compile alone\n{done.stderr[:3000]}"


def check(root, build, headers=None):
    """Every header's complaint, and the number of headers."""
    compiler, flags = compile_flags(build)
    flags = ["-I", str(root), *flags]
    if headers is None:
        headers = sorted(path.relative_to(root).as_posix() for room in ROOMS for path in (root / room).rglob("*.h"))
    os.environ["CCACHE_NOHASHDIR"] = "1"  # the folder below has a new name each time
    with tempfile.TemporaryDirectory(dir=build) as own:
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            found = pool.map(lambda header: compile_header(compiler, flags, own, header), headers)
            return [problem for problem in found if problem], len(headers)


def main():
    root, build = (pathlib.Path(argument).resolve() for argument in sys.argv[1:3])
    problems, count = check(root, build, sys.argv[3:] or None)
    for problem in problems:
        print(problem)
    print(f"check_headers: {count} headers, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
