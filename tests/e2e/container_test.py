"""The container image and docker-compose.yml, built and run by the engine that is there.

The image's first stage compiles everything again: here it is replaced by the programs that are built already, so that
the second, which is what runs, is tested in little time. Where no registry can be reached the base image is made with
debootstrap and kept in the build folder.
"""

import json
import os
import pathlib
import re
import resource
import shutil
import subprocess
import tempfile

from default_ports import skip_if_taken
from fleet import CORELAY, CORELAYD, SOURCE, Skip, corelay, main, start_process, wait_until

IMAGE = "localhost/corelay-test"
BASE = "localhost/corelay-test-base"
CACHE = pathlib.Path(os.environ["CORELAY_E2E_CACHE"])
PROGRAMS = pathlib.Path(CORELAYD).parent

engine = None
folder = None
program = []  # of compose
is_built = False
made = []  # images to remove


def run(*arguments, check=True, timeout_s=600, **options):
    done = subprocess.run(list(map(str, arguments)), capture_output=True, text=True, timeout=timeout_s, check=False,
                          **options)
    assert not check or done.returncode == 0, (arguments, done.returncode, (done.stdout + done.stderr)[-3000:])
    return done


def find_engine():
    for name in ("podman", "docker"):
        if shutil.which(name) and run(name, "info", check=False, timeout_s=60).returncode == 0:
            return name
    raise Skip("no container engine runs here (podman, or docker with its daemon)")


def settle_engine(base, root):
    """Where a container cannot be started as the engine is set up (older control groups, bounded rights), with runc and
    limits that need no right to raise them; by settings of this test alone."""
    def tried():
        return run(engine, "run", "--rm", base, "true", check=False, timeout_s=120)
    first = tried()
    if first.returncode == 0:
        return
    if engine == "podman" and shutil.which("runc"):
        limits = [f"{name}={min(most, 16384)}:{min(most, 16384)}" for name, most in (
            ("nofile", resource.getrlimit(resource.RLIMIT_NOFILE)[1]),
            ("nproc", resource.getrlimit(resource.RLIMIT_NPROC)[1]))]
        (root / "containers.conf").write_text(f"[containers]\ndefault_ulimits={json.dumps(limits)}\n"
                                              '[engine]\nruntime="runc"\n')
        os.environ["CONTAINERS_CONF"] = str(root / "containers.conf")
        second = tried()
        if second.returncode == 0:
            print("    podman with runc: as it is set up it starts no container: " + first.stderr.strip()[-120:])
            return
        first = second
    raise Skip(f"{engine} starts no container here: " + first.stderr.strip()[-200:])


def base_image():
    named = os.environ.get("CORELAY_TEST_BASE")
    if named:
        return named
    published = re.search(r"^ARG BASE=(\S+)$", (SOURCE / "Containerfile").read_text(), re.M).group(1)
    for attempt in (("image", "inspect", published), ("pull", "-q", published)):
        try:
            if run(engine, *attempt, check=False, timeout_s=60).returncode == 0:
                return published
        except subprocess.TimeoutExpired:
            pass
    archive = CACHE / "base.tar"
    if not archive.exists():
        if shutil.which("debootstrap") is None or os.geteuid() != 0:
            raise Skip(f"{published} cannot be had, and making a base takes root and debootstrap")
        print("    no registry: making a base image with debootstrap")
        with tempfile.TemporaryDirectory() as root:
            done = run("debootstrap", "--variant=minbase", "bookworm", root, check=False)
            if done.returncode != 0:
                raise Skip("debootstrap cannot reach a mirror: " + done.stdout.strip().splitlines()[-1])
            run("tar", "-C", root, "-cf", f"{archive}.part", ".")
        archive.with_suffix(".tar.part").rename(archive)
    run(engine, "import", archive, BASE)
    made.append(BASE)
    return BASE


def test_build():
    global engine, folder, is_built
    engine = find_engine()
    base = base_image()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="corelay-container-"))
    settle_engine(base, folder)
    programs = folder / "context"
    (programs / "bin").mkdir(parents=True)
    for name in ("corelay", "corelayd", "corelay-gateway"):
        shutil.copy(PROGRAMS / name, programs / "bin")
        run("strip", programs / "bin" / name)
    packages = run("sh", SOURCE / "tools" / "runtime_packages.sh", *(PROGRAMS / name for name in (
        "corelay", "corelayd", "corelay-gateway"))).stdout
    assert "libgrpc++1" in packages and "libssl3" in packages, packages
    (programs / "packages.txt").write_text(packages)
    text = (SOURCE / "Containerfile").read_text()
    stages = re.split(r"(?m)^(?=FROM )", text)
    assert len(stages) == 3 and "AS build" in stages[1], "two stages"
    stages[1] = "FROM scratch AS build\nCOPY . /out/\n\n"
    (folder / "Containerfile").write_text("".join(stages))
    made.append(IMAGE)
    flags = ["--format", "docker"] if engine == "podman" else []
    run(engine, "build", *flags, "--network", "host", "--build-arg", f"BASE={base}", "-t", IMAGE, "-f",
        folder / "Containerfile", programs)
    image = json.loads(run(engine, "image", "inspect", IMAGE).stdout)[0]
    health = image.get("HealthCheck") or image.get("Healthcheck") or image["Config"].get("Healthcheck")
    assert image["Config"]["User"] == "10001:10001" and health["Test"][:2] == ["CMD", "corelay"], image
    print(f"    {engine}: image of {image['Size'] >> 20} MiB on {base}")
    said = run(engine, "run", "--rm", "--read-only", IMAGE, "corelay", "--version").stdout
    assert said == corelay("--version").stdout, said
    is_built = True


def find_compose():
    """docker compose, or docker-compose; with podman over the socket of its own."""
    if engine == "docker" and run("docker", "compose", "version", check=False).returncode == 0:
        return ["docker", "compose"]
    if shutil.which("docker-compose") is None:
        raise Skip("docker-compose is not installed")
    if engine == "podman":
        socket = f"unix://{folder}/podman.sock"
        start_process(["podman", "system", "service", "--time", "0", socket], stdout=subprocess.DEVNULL,
                      stderr=subprocess.DEVNULL)
        wait_until("podman's socket", (folder / "podman.sock").exists)
        os.environ["DOCKER_HOST"] = socket
    return ["docker-compose"]


def compose(*arguments, **options):
    """In the folder that stands for a checkout."""
    return run(*program, *arguments, cwd=folder, env={**os.environ, "CORELAY_IMAGE": IMAGE}, **options)


def get(url):
    return run("curl", "-s", "-m", "5", url, check=False).stdout


def test_compose():
    global program
    if not is_built:
        raise Skip("no image was built")
    if shutil.which("curl") is None:
        raise Skip("curl is not installed")
    skip_if_taken()
    program = find_compose()
    shutil.copy(SOURCE / "docker-compose.yml", folder)
    (folder / "script").symlink_to(SOURCE / "script")
    said = run("sh", "./script/generate_p2p_key.sh", cwd=folder, env={**os.environ, "CORELAY": CORELAY}).stdout
    [peer_id] = re.findall(r"^Peer ID: (\S+)$", said, re.M)
    settings = (SOURCE / ".env.example").read_text()
    settings = re.sub(r"(?m)^BOOTSTRAP_PEER_ID=.*$", f"BOOTSTRAP_PEER_ID={peer_id}", settings)
    settings = re.sub(r"(?m)^CORELAY_USER=.*$", f"CORELAY_USER={os.getuid()}:{os.getgid()}", settings)
    (folder / ".env").write_text(settings)
    try:
        compose("up", "-d", "--no-build", timeout_s=300)
        look_around(peer_id)
    except BaseException:
        print("    " + compose("ps", check=False).stdout.replace("\n", "\n    "))
        print("    " + compose("logs", check=False).stdout[-3000:].replace("\n", "\n    "))
        raise
    finally:
        compose("down", "-v", check=False, timeout_s=120)


def look_around(peer_id):
    """The guide's addresses and commands, from the host."""
    wait_until("four connected nodes", lambda: all(
        get(f"http://localhost:909{n}/api/v1/node-state").count("12D3KooW") == 4 for n in (1, 2, 3, 4)), 60, 0.5)
    state = json.loads(get("http://localhost:9091/api/v1/node-state"))
    assert state["pub_key"] == peer_id and state["addresses"] == ["/ip4/172.28.0.12/tcp/7070"], state
    for port in (8081, 8082):
        wait_until(f"gateway {port}", lambda port=port: get(f"http://localhost:{port}/readyz") == "ready\n", 60, 0.5)
    nodes = json.loads(get("http://localhost:8081/api/v1/nodes"))["nodes"]
    assert [node["address"] for node in nodes] == [f"p2pnode-{n}:33212" for n in (1, 2, 3, 4)], nodes
    wait_until("all nodes in reach", lambda: get("http://localhost:8082/api/v1/nodes").count('"reachable":true') == 4)
    body = {"client_id": "c", "topic": "t", "threshold": 1.0}
    url = "http://localhost:8081/api/"
    run("curl", "-sf", "-X", "POST", url + "subscribe", "-d", json.dumps(body))
    arrivals = "http://localhost:8081/api/v1/arrivals"
    assert json.loads(get(arrivals))["messages"] == []  # from here on they are kept
    done = json.loads(run("curl", "-sf", "-X", "POST", url + "publish", "-d",
                          json.dumps({**body, "message": "through containers"})).stdout)
    assert done["status"] == "published", done
    [message] = wait_until("four nodes to have it", lambda: [
        one for one in json.loads(get(arrivals))["messages"] if len(one["arrivals"]) == 4])
    assert message["preview"] == "through containers", message
    sent = corelay("publish", "--addr", "localhost:33223", "--topic", "t", "--message", "by a sidecar")
    assert sent.returncode == 0, sent.stderr
    assert "Corelay gateway" in get("http://localhost:8082/")
    names = [line for line in run(engine, "ps", "--format", "{{.Names}}").stdout.split() if re.search(
        r"(p2pnode|gateway)[-_]\d[-_]1$", line)]
    assert len(names) == 6, names
    for name in names:
        status = run(engine, "exec", name, "cat", "/proc/1/status").stdout
        is_first_node = "p2pnode-1" in name  # it is who owns ./identity, which may be root here
        assert is_first_node or re.search(r"^Uid:\s+10001\s", status, re.M), (name, status)
        assert re.search(r"^CapEff:\s+0+$", status, re.M), (name, status)
        assert run(engine, "exec", name, "sh", "-c", "echo > /usr/probe", check=False).returncode != 0
        asked = ["health", "--service-url", "http://127.0.0.1:8080"] if "gateway" in name else [
            "node", "health", "--api", "127.0.0.1:9090"]
        health = run(engine, "exec", name, "corelay", *asked)
        assert health.returncode == 0
    if engine == "podman":  # nothing runs a podman's health checks unless asked
        for name in names:
            run("podman", "healthcheck", "run", name)
    print(f"    {len(names)} containers: connected, healthy, without rights")


try:
    main()
finally:
    if engine is not None:
        for image in reversed(made):
            subprocess.run([engine, "rmi", "-f", image], capture_output=True, check=False)
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
