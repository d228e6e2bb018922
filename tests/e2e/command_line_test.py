"""The command line where no node is needed: help, errors, exit codes, keys, colour."""

import json
import os
import pathlib
import pty
import re
import socket
import subprocess
import tempfile

from fleet import CORELAY, CORELAYD, SOURCE, Skip, corelay, main


def failed(done, code, *words):
    assert done.returncode == code, (done.returncode, done.stderr)
    for word in words:
        assert word in done.stderr, (word, done.stderr)
    assert done.stdout == "", done.stdout


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def on_terminal(*arguments, **environment):
    """What a person at a terminal sees of standard error and output."""
    try:
        master, slave = pty.openpty()
    except OSError as error:
        raise Skip(f"no pseudo-terminal: {error}") from None
    clean = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    process = subprocess.Popen([CORELAY, *arguments], stdin=subprocess.DEVNULL, stdout=slave, stderr=slave,
                               env={**clean, "TERM": "xterm", **environment})
    os.close(slave)
    seen = b""
    while True:
        try:
            data = os.read(master, 65536)
        except OSError:
            break
        if not data:
            break
        seen += data
    process.wait()
    os.close(master)
    return seen.decode()


def test_help_has_examples_and_exit_codes():
    text = corelay("--help").stdout
    assert "Examples" in text and "Exit codes" in text and "NO_COLOR" in text
    for verb in ("keygen", "publish", "subscribe", "node", "up", "down", "version"):
        assert verb in text
        help_text = corelay(verb, "--help")
        assert help_text.returncode == 0
        assert verb == "version" or f"  corelay {verb}" in help_text.stdout, verb


def test_slips_are_answered_with_the_right_word():
    failed(corelay("publsh"), 2, "there is no command 'publsh'", "'publish' instead")
    failed(corelay("publish", "--topik", "x", "--message", "y"), 2, "'--topic' instead of '--topik'")
    failed(corelay(), 2, "corelay --help")
    failed(corelay("publish", "--topic", "t", "--message", "m", "--file", "f"), 2, "--message", "--file")
    failed(corelay("publish", "--topic", "t", "--random", "many"), 2, "'many'")
    failed(corelay("subscribe"), 2, "--topic")
    failed(corelay("version", "--output", "xml"), 2, "--output: 'xml' is none of table, json and yaml")


def test_the_librarys_errors_are_in_our_words():
    for words, said in ((["node", "fly"], ["there is no command 'corelay node fly'", "corelay node --help"]),
                        (["node"], ["'corelay node' needs one of its commands", "corelay node --help"]),
                        (["node", "stte"], ["there is no command 'corelay node stte'", "'state' instead"]),
                        (["--output", "json", "version", "x"], ["'corelay version' takes no argument 'x'"]),
                        (["sim", "run", "S1-1MiB", "--nodes", "many"], ["--nodes: 'many' is not a number"]),
                        (["sim", "run", "S1-1MiB", "--seed", "-1"], ["--seed: '-1' is not a whole number"]),
                        (["publish", "--topic", "t", "--message", "m", "--file", "f"],
                         ["--message and --file exclude each other"]),
                        (["subscribe", "--topic", "t", "--raw", "--output", "json"],
                         ["--raw and --output exclude each other"]),
                        (["node", "health", "--api", "https://localhost:1"], ["no TLS"])):
        done = corelay(*words)
        assert done.returncode == 2, (words, done.stderr)
        for word in said:
            assert word in done.stderr, (words, done.stderr)
        for foreign in ("subcommand", "Could not", "not expected", "excludes"):
            assert foreign not in done.stderr, (words, done.stderr)


def test_an_address_as_a_browser_has_it():
    port = free_port()
    failed(corelay("node", "health", "--api", f"http://localhost:{port}/"), 3, f"API at localhost:{port}: connection")
    failed(corelay("publish", "--addr", f"http://localhost:{port}", "--topic", "t", "--message", "m"), 3,
           f"sidecar at localhost:{port}: connection refused")


def test_a_bound_that_does_not_hold_has_a_footnote():
    run = ["sim", "run", "S1-1200B", "--nodes", "20"]
    done = corelay(*run, "--router", "corelay-two-hop")
    assert "LB99 is the bound over the mesh's links; corelay-two-hop may be below it" in done.stdout, done.stdout
    assert "LB99 is" not in corelay(*run, "--router", "corelay").stdout
    assert "LB99 is" not in corelay(*run, "--router", "corelay-two-hop", "--output", "json").stdout


def test_a_port_that_says_nothing_of_grpc_is_not_passed_over():
    for words in (["publish", "--message", "m"], ["subscribe"], ["multi-publish"], ["multi-subscribe"]):
        failed(corelay(*words, "--topic", "t", "--grpc", "--service-url", "http://relay.example:9000"), 2,
               "--service-url: 'http://relay.example:9000'", "--grpc-port")


def test_lists_have_no_empty_items():
    for words in ("corelay,", ",corelay", "corelay,,oracle", ","):
        failed(corelay("sim", "compare", "S1-1MiB", "--nodes", "12", "--routers", words), 2, f"--routers: '{words}'",
               "commas")
    failed(corelay("sim", "compare", "S1-1MiB", "--routers", "corelay,orcle"), 2, "no router 'orcle'")
    failed(corelay("health", "--service-url", "http://localhost:1,"), 2, "--service-url: 'http://localhost:1,'")


def test_simulations_look_at_their_files_first():
    with tempfile.TemporaryDirectory() as folder:
        failed(corelay("sim", "run", "S1-1MiB", "--json", f"{folder}/none/a.json"), 2, f"cannot write {folder}/none")
        failed(corelay("sim", "run", "S1-1MiB", "--svg", folder), 2, f"cannot write {folder}")
        done = corelay("sim", "compare", "S1-1MiB", "--nodes", "20", "--json", f"{folder}/a.json")
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("S1-1MiB: 20 nodes, 50 Mbit/s"), done.stdout
        assert "bound over the mesh" not in done.stdout, done.stdout
        routers = [row["router"] for row in json.loads(pathlib.Path(folder, "a.json").read_text())["rows"]]
        assert routers == ["corelay", "rs-bitmap-64", "gossipsub-v1.2-seq", "oracle"], routers


def test_tools_up_looks_at_its_flags_before_it_builds():
    def tools_up(*words):
        return subprocess.run([SOURCE / "tools" / "up", *words], capture_output=True, text=True, timeout=60,
                              check=False)
    failed(tools_up("--bogus"), 2, "there is no option '--bogus'")
    failed(tools_up("--nodes"), 2, "--nodes needs a value")
    for words in (["--base", "70000"], ["--base=1023"], ["--base", "0x10"], ["--nodes", "65"], ["--nodes=ten"],
                  ["--gateways", "17"], ["--gateway-grpc-port", "65536"], ["--p2p-port", "0"], ["--output", "xml"],
                  ["--timeout", "soon"], ["--timeout=5x"], ["--timeout", "-1s"]):
        before, after = tools_up(*words), corelay("up", *words)
        failed(before, 2, words[0].split("=")[0], "  try: tools/up --help")
        assert before.stderr.splitlines()[0] == after.stderr.splitlines()[0].replace("corelay:", "tools/up:"), before
    failed(tools_up("--file", "/nowhere"), 2, "--file", "/nowhere", "  try: ")
    failed(tools_up("--corelayd", "/nowhere"), 1, "no program /nowhere", "  try: ")
    built = str(SOURCE / "build" / "dev" / "bin" / "corelayd")
    for words in (["--timeout", "999999999ms"], ["--timeout", ".5"], ["--timeout=1.5m"], ["--corelayd", built],
                  ["--corelayd="], ["--file", "-"]):
        failed(tools_up(*words, "--bogus"), 2, "'--bogus'")  # the next is what is wrong
    failed(tools_up("--sidecar-port", "65534"), 2, "beyond 65535")
    known = (SOURCE / "tools" / "up").read_text()
    for flag in re.findall(r"^  (?:-h,)?(--[a-z-]+)", corelay("up", "--help").stdout, re.M):
        assert flag in known, f"tools/up does not know {flag}"


def test_nobody_there():
    port = free_port()
    failed(corelay("publish", "--addr", f"localhost:{port}", "--topic", "t", "--message", "m"), 3,
           f"localhost:{port}", "connection refused", "corelay up")
    failed(corelay("subscribe", "--addr", f"127.0.0.1:{port}", "--topic", "t"), 3, "connection refused")
    failed(corelay("node", "health", "--api", f"localhost:{port}"), 3, f"localhost:{port}", "connection refused")
    failed(corelay("publish", "--addr", "here", "--topic", "t", "--message", "m"), 2, "'here' is not HOST:PORT")
    failed(corelay("publish", "--addr", "localhost:1", "--topic", "t", "--file", "/nowhere"), 2, "/nowhere")


def test_a_folder_is_no_file():
    with socket.socket() as silent:  # the file is looked at first
        silent.bind(("127.0.0.1", 0))
        address = f"localhost:{silent.getsockname()[1]}"
        failed(corelay("publish", "--addr", address, "--topic", "t", "--file", "/tmp"), 2, "/tmp", "directory")


def test_errors_for_programs():
    done = corelay("node", "state", "--api", f"localhost:{free_port()}", "--output", "json")
    error = json.loads(done.stderr)["error"]
    assert error["exit_code"] == 3 and "connection refused" in error["message"] and error["remedy"]


def test_a_port_that_is_something_else():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        done = corelay("node", "health", "--api", f"localhost:{port}", "--timeout", "300ms")
        failed(done, 5, "no answer", "300 ms")


def test_keygen_is_idempotent():
    with tempfile.TemporaryDirectory() as folder:
        first = corelay("keygen", "--out", folder)
        assert first.stdout.startswith("Peer ID: 12D3KooW"), first.stdout
        key = pathlib.Path(folder, "p2p.key")
        assert key.stat().st_mode & 0o777 == 0o600
        assert corelay("keygen", "--out", folder).stdout == first.stdout
        named = json.loads(corelay("keygen", "--out", f"{folder}/a/b.key", "--output", "json").stdout)
        assert named["created"] and pathlib.Path(named["file"]).exists()
        key.write_bytes(b"\0" * 40)
        failed(corelay("keygen", "--out", folder), 2, str(key), "checksum mismatch")
        failed(corelay("keygen", "--out", "/proc/none"), 2, "/proc/none")


def test_colour_only_for_people():
    coloured = on_terminal("publsh")
    assert "\x1b[31m" in coloured, repr(coloured)
    assert "\x1b" not in on_terminal("publsh", NO_COLOR="1")
    assert "\x1b" not in on_terminal("publsh", TERM="dumb")
    assert "\x1b" not in corelay("publsh").stderr


def test_version():
    assert set(json.loads(corelay("version", "--output", "json").stdout)) == {"version", "commit_hash"}
    assert corelay("version", "--output", "yaml").stdout.startswith("---\nversion: ")
    text = corelay("version").stdout
    assert re.fullmatch(r"corelay v\d+\.\d+\.\d+ \(([0-9a-f]{7}|unknown)\)\n", text), text
    assert corelay("--version").stdout == text
    for flag in ("version", "--version"):
        said = subprocess.run([CORELAYD, flag], capture_output=True, text=True, check=True).stdout
        assert said == text.replace("corelay ", "corelayd "), said


def test_numbers_out_of_range_are_answered_in_words():
    for value in ("0", "-1", "", "nan", "1e3", "0x10", " 1", "9" * 300):
        done = corelay("publish", "--topic", "t", "--random", "1", "--count", value)
        failed(done, 2, "--count", "is not a whole number from 1 to 1000000000")
        assert len(done.stderr) < 200, done.stderr
        failed(corelay("subscribe", "--topic", "t", "--count", value), 2, "--count")
        failed(corelay("up", "--nodes", value), 2, "--nodes", "from 1 to 64")
        for flag in ("--base", "--sidecar-port", "--api-port", "--p2p-port"):
            failed(corelay("up", flag, value), 2, flag)
    failed(corelay("up", "--sidecar-port", "65536"), 2, "from 1 to 65535")
    for value in ("-1", "", "nan", "1e3s", "9" * 300):
        failed(corelay("publish", "--topic", "t", "--message", "m", "--sleep", value), 2, "--sleep")
        failed(corelay("publish", "--topic", "t", "--random", value), 2, "--random")


def test_suggestions_only_for_slips():
    for words in (["fly"], ["xp"], ["publish", "--topic", "t", "--colour", "red"], ["node", "--zzz", "state"]):
        done = corelay(*words)
        failed(done, 2, "--help")
        assert "instead of" not in done.stderr, done.stderr
    failed(corelay("publish", "--topic", "t", "--message", "m", "--outptu", "json"), 2, "'--output' instead")


def test_publish_without_a_payload():
    port = free_port()
    help_text = corelay("publish", "--help").stdout
    assert "standard input" in help_text and "a terminal" in help_text, help_text
    master, slave = pty.openpty()
    with os.fdopen(master), os.fdopen(slave) as terminal:
        failed(corelay("publish", "--addr", f"localhost:{port}", "--topic", "t", stdin=terminal), 2,
               "nothing to publish", "terminal", "--message")


def test_no_node_carries_such_a_message():
    done = corelay("publish", "--addr", f"localhost:{free_port()}", "--topic", "t", "--random", "64.1MiB")
    failed(done, 4, "67213721 bytes", "67108864 bytes (64.0 MiB), the most that a node can be set to take",
           "16.0 MiB (relay.message_bytes_max)", "delivery.message_bytes_max")


def test_names_are_utf8():
    name = b"t\xff"
    for verb in (["publish", "--message", "m"], ["subscribe"], ["multi-publish"], ["multi-subscribe"],
                 ["tracer", "load"]):
        failed(corelay(*verb, "--topic", name), 2, "--topic", r'"t\xff" is not UTF-8')
    failed(corelay("publish", "--topic", "t", "--message", "m", "--client-id", name), 2, "--client-id", "not UTF-8")


def test_a_token_in_the_clear_is_told_once():
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "auth.yml"
        path.write_text("token: eyJhbGciOiJub25lIn0.eyJjbGllbnRfaWQiOiJtZSJ9.x\n")
        path.chmod(0o600)
        ask = ["--auth-path", str(path), "health", "--service-url"]
        told = corelay(*ask, "http://0.0.0.0:1,http://0.0.0.0:2")
        assert told.returncode == 3 and told.stderr.count("in the clear") == 1, told
        assert "https://" in told.stderr and "http://0.0.0.0:1" in told.stderr, told
        for quiet in (["http://localhost:1"], ["https://0.0.0.0:1"], ["http://0.0.0.0:1", "--disable-auth"]):
            assert "in the clear" not in corelay(*ask, *quiet).stderr, quiet


def test_down_from_anywhere():
    with tempfile.TemporaryDirectory() as home, tempfile.TemporaryDirectory() as elsewhere:
        clean = {name: value for name, value in os.environ.items() if name not in ("CORELAY_DIR", "XDG_STATE_HOME")}
        for environment, place in (({"HOME": home}, f"{home}/.local/state/corelay/fleet"),
                                   ({"XDG_STATE_HOME": f"{home}/state"}, f"{home}/state/corelay/fleet"),
                                   ({"CORELAY_DIR": f"{home}/own"}, f"{home}/own")):
            failed(corelay("down", cwd=elsewhere, env={**clean, **environment}), 1, f"no fleet runs from '{place}'")


main()
