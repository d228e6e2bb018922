"""Puts the calling script into namespaces of its own: network, mounts, processes.

The script starts again as process 1 of a new PID namespace. When it ends, even by SIGKILL, the kernel ends every
process in there, and with the last of them the namespaces, links and filters go. No root is needed where the kernel
lets users make namespaces. One lab runs at a time: a second would share the cores and spoil the first one's figures.
"""
import ctypes
import fcntl
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

INSIDE = "CORELAY_LAB_INSIDE"
TOOLS = ("unshare", "nsenter", "ip", "bridge", "tc", "nft", "ethtool")
NOT_POSSIBLE = 77  # ctest's "skipped"
LOCK_WAIT_S = 600
PR_SET_PDEATHSIG = 1
# One of everything that network.py makes.
PROBE = """
mount -t tmpfs lab /run && mkdir /run/netns && ip netns add probe && nsenter --net=/run/netns/probe true
ip link set lo up && ip link add name bridge0 type bridge && ip link add name veth0 type veth peer name veth1
ip link set veth1 master bridge0 up && ip link set veth0 up
tc qdisc add dev veth0 root tbf rate 1mbit burst 4000 limit 20000
nft 'table netdev probe { chain arriving {
  type filter hook ingress device "veth0" priority 0; numgen random mod 100 < 1 counter drop; }; }'
"""


PROBE_TUN = "ip tuntap add dev tun0 mode tun\n"  # of routed.py


class NotPossible(Exception):
    """This machine cannot run a lab; the text says why and what would help."""


def _find_tools():
    os.environ["PATH"] = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    missing = [tool for tool in TOOLS if not shutil.which(tool)]
    if missing:
        raise NotPossible(f"not found: {', '.join(missing)}. Run tools/setup")


def _unshare_command(needs_tun):
    """The unshare call that works here: as root, or by a user namespace."""
    probe = PROBE + (PROBE_TUN if needs_tun else "")
    base = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    for command in ([base] if os.geteuid() == 0 else []) + [base[:1] + ["--map-root-user"] + base[1:]]:
        done = subprocess.run([*command, "sh", "-ec", probe], capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode == 0:
            return command
        reason = (done.stderr.strip().splitlines() or [f"code {done.returncode}"])[-1]
    raise NotPossible(f"network namespaces with links, {'TUN devices, ' if needs_tun else ''}shapers and filters "
                      f"cannot be made here: run as root, on a kernel that allows them ({reason})")


def _take_lock(wait):
    """The lock file's descriptor, held until the lab ends."""
    path = pathlib.Path(os.environ.get("XDG_RUNTIME_DIR") or "/tmp") / f"corelay-lab-{os.getuid()}.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    end = time.monotonic() + (LOCK_WAIT_S if wait else 0)
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError:
            if time.monotonic() >= end:
                raise NotPossible(f"another lab is running (it holds {path}); wait for it to end") from None
            time.sleep(0.5)


def _die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def check(needs_tun=False):
    """Ends the script with NOT_POSSIBLE, and a line that says why, where no lab can be run."""
    try:
        _find_tools()
        _unshare_command(needs_tun)
    except NotPossible as error:
        print(f"lab: {error}", file=sys.stderr)
        sys.exit(NOT_POSSIBLE)


def enter(wait=False, needs_tun=False):
    """Returns inside the sandbox; outside it never returns: it runs the script again in there and exits with its code.
    `wait`: wait for a running lab to end (tests) instead of refusing (a person's command). `needs_tun`: for
    routed.py."""
    if os.environ.get(INSIDE) == "1":
        del os.environ[INSIDE]
        subprocess.run(["mount", "-t", "tmpfs", "lab", "/run"], check=True)
        os.mkdir("/run/netns")
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        return
    try:
        _find_tools()
        lock = _take_lock(wait)
        command = _unshare_command(needs_tun)
    except NotPossible as error:
        print(f"lab: {error}", file=sys.stderr)
        sys.exit(NOT_POSSIBLE)
    child = subprocess.Popen([*command, sys.executable, *sys.argv], env={**os.environ, INSIDE: "1"},
                             preexec_fn=_die_with_parent)
    signal.signal(signal.SIGTERM, lambda *_: child.kill())
    while True:
        try:
            code = child.wait()
            break
        except KeyboardInterrupt:
            pass  # the script inside got it too and is ending
    os.close(lock)
    sys.exit(code if code >= 0 else 128 - code)
