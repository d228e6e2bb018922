#!/usr/bin/env python3
"""Checks who includes whom: the table ROOMS below is the architecture, and a test.

    tools/check_layers.py [ROOT]     prints path:line: what is wrong; exit 1 if anything is

A file belongs to the room with the longest matching path. Besides the table: includes are from the repository
root, never "../"; the I/O-free rooms see no operating system, no clock and no threads; a third-party library is
included only where THIRD_PARTY says; clocks and random devices are read only where CLOCKS_ALLOWED says.
tests/lint/check_layers_test.py plants a violation of each kind and sees it caught.
"""
import pathlib
import re
import sys

# Room: the paths whose files it may include, besides its own. "dataplane/*" means the headers lying directly in
# dataplane/ (its door), without the sub-folders.
ROOMS = {
    "codec": [],
    "dataplane/core": ["codec", "dataplane/*"],
    "dataplane/io": ["codec", "dataplane/core", "dataplane/*"],
    "dataplane/lcore": ["codec", "dataplane/core", "dataplane/io", "dataplane/*"],
    "dataplane": ["codec"],  # the door's headers; its .cpp files see DOOR_SOURCES too
    "control/mesh": ["codec", "dataplane/*", "proto"],
    "control/libp2p": ["codec"],
    "control/daemon": ["codec"],
    "control/node": ["codec", "dataplane/*", "control/mesh", "control/libp2p", "control/daemon", "proto"],
    "control/gateway": ["codec", "control/daemon", "proto"],
    "sim": ["codec", "dataplane/core", "dataplane/*", "control/mesh"],
    "tools": ["codec", "dataplane/*", "control", "sim", "proto"],
    "tests": ["codec", "dataplane", "control", "sim", "tools", "proto", "bench"],
    "bench": ["codec", "dataplane", "control", "sim", "tools", "proto", "tests"],
}
DOOR_SOURCES = ["dataplane/core", "dataplane/io", "dataplane/lcore"]

# These rooms are driven by values: input and the time go in, an outbox comes out. None of this reaches them.
IO_FREE = ["codec", "dataplane/core", "control/mesh", "sim"]
OS_HEADERS = re.compile(
    r"^(sys|net|netinet|arpa|linux|asm|bits)/|"
    r"^(unistd|fcntl|poll|signal|sched|pthread|dlfcn|errno|ifaddrs|netdb|termios|time|threads|semaphore)\.h$|"
    r"^(csignal|ctime|chrono|thread|mutex|shared_mutex|condition_variable|future|semaphore|latch|barrier|stop_token"
    r"|iostream|fstream|filesystem|random|syncstream)$")

# Third-party header: the only paths that may include it.
THIRD_PARTY = {
    r"^(isa-l|erasure_code|gf_vect_mul)": ["codec/", "bench/"],
    r"^liburing": ["dataplane/io/"],
    r"^hwloc": ["dataplane/lcore/"],
    r"^(intel-)?ipsec-mb": ["dataplane/core/", "bench/"],
    r"^(grpc|grpcpp)/": ["control/node/", "control/gateway/", "control/daemon/grpc_start", "tools/", "tests/",
                         "bench/"],
    r"^boost/": ["control/libp2p/", "control/node/", "control/gateway/", "tools/", "tests/", "bench/"],
    r"^nlohmann/": ["control/libp2p/", "control/node/", "control/daemon/", "control/gateway/", "tools/", "tests/",
                    "bench/", "sim/scenario"],
    r"^(spdlog|fmt|CLI|toml\+\+)/": ["control/node/", "control/daemon/", "control/gateway/", "tools/", "tests/",
                                      "bench/", "sim/scenario"],
    r"^(nats|hiredis)/": ["control/gateway/"],
    r"^gtest/|^gmock/|^rapidcheck": ["tests/"],
}

CLOCKS = re.compile(
    r"\b(steady_clock|system_clock|high_resolution_clock|clock_gettime|gettimeofday|__?rdtscp?\w*|_rdtsc|random_device"
    r"|s?rand(?=\s*\()|getrandom|arc4random\w*)")
CLOCKS_ALLOWED = re.compile(
    r"^(dataplane/lcore/lcore[^/]*\.cpp|control/(node|daemon|gateway|libp2p)/|tools/|bench/|tests/)")
SEEDS = re.compile(r"^dataplane/dataplane\.cpp$")  # may call getrandom, once, for the lcores' seeds

SUFFIXES = {".h", ".hpp", ".cpp", ".cc", ".c", ".def"}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def code_only(text):
    """The text with comments and the insides of literals blanked out; line numbers stay the same."""
    pattern = re.compile(
        r'//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|(?<![0-9a-fA-F])\'(?:\\.|[^\'\\\n])*\'', re.S)

    def blank(match):
        found = match.group(0)
        if found.startswith("/"):
            return re.sub(r"[^\n]", " ", found)
        return '"' + re.sub(r"[^\n]", " ", found[1:-1]) + '"'

    return pattern.sub(blank, text)


def sources(root):
    """Our C++ files, as paths relative to the root."""
    for room in sorted({room.split("/")[0] for room in ROOMS} | {"proto", "tuning"}):
        for path in sorted((root / room).rglob("*")):
            if path.suffix in SUFFIXES and path.is_file():
                yield path.relative_to(root).as_posix()


def room_of(path):
    """The room of a path: the longest name in ROOMS that is a folder of it, or None."""
    found = [room for room in ROOMS if path.startswith(room + "/")]
    return max(found, key=len) if found else None


def may_include(path, target):
    room = room_of(path)
    if room_of(target) == room and not (room == "dataplane" and "/" in target[len("dataplane/"):]):
        return True
    allowed = list(ROOMS[room])
    if room == "dataplane" and path.endswith(".cpp"):
        allowed += DOOR_SOURCES
    for entry in allowed:
        if entry.endswith("/*"):
            folder = entry[:-1]
            if target.startswith(folder) and "/" not in target[len(folder):]:
                return True
        elif target.startswith(entry + "/"):
            return True
    return False


def check_include(root, path, quote, target):
    """What is wrong with one include, as texts."""
    if ".." in target.split("/"):
        yield f'"{target}": includes are from the repository root, without ".."'
        return
    ours = room_of(target) or target.startswith("proto/")
    if quote == '"' and not ours:
        if not (root / target).exists():
            yield f'"{target}": not a path from the repository root; third-party headers take <>'
        return
    if ours:
        if target.split("/")[0] in ("tests", "bench") and target.split("/")[0] != path.split("/")[0]:
            if not (path.startswith(("tests/", "bench/"))):
                yield f'"{target}": tests and bench are included by nobody'
                return
        if not may_include(path, target):
            yield f'"{target}": {room_of(path)} may not see it (table ROOMS)'
        return
    if any(path.startswith(room + "/") for room in IO_FREE) and OS_HEADERS.search(target):
        yield f"<{target}>: {room_of(path)} is free of I/O, clocks and threads"
    for pattern, allowed in THIRD_PARTY.items():
        if re.search(pattern, target) and not path.startswith(tuple(allowed)):
            yield f"<{target}>: only in {', '.join(allowed)}"


def check(root):
    """Every violation under the root, as "path:line: what"."""
    root = pathlib.Path(root)
    problems = []
    for path in sources(root):
        text = (root / path).read_text(encoding="utf-8", errors="replace")
        if room_of(path) is None:
            problems.append(f"{path}:1: belongs to no room of the table ROOMS")
            continue
        code = code_only(text)
        for number, (line, stripped) in enumerate(zip(text.split("\n"), code.split("\n")), 1):
            include = INCLUDE.match(line) if stripped.strip().startswith("#") else None
            if include:
                for what in check_include(root, path, *include.groups()):
                    problems.append(f"{path}:{number}: {what}")
            elif not CLOCKS_ALLOWED.match(path):
                clock = CLOCKS.search(stripped)
                if clock and not (clock.group(0) == "getrandom" and SEEDS.match(path)):
                    problems.append(f"{path}:{number}: {clock.group(0)}: time and chance are values passed in")
    return problems


def main():
    root = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parent.parent
    problems = check(root)
    for problem in problems:
        print(problem)
    print(f"check_layers: {len(list(sources(root)))} files, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
