"""The files for operating: compose, Prometheus, Grafana. Every metric they name is one that real programs have."""

import json
import pathlib
import re
import shutil
import subprocess
import tempfile
import urllib.parse
import urllib.request

from fleet import SOURCE, Fleet, Ports, Skip, main, start_process, wait_until
from gateway import Gateway

DEPLOY = SOURCE / "deploy"
COMPOSE = SOURCE / "docker-compose.yml"
MONITORING = SOURCE / "docker-compose.monitoring.yml"


def dashboard_queries():
    dashboard = json.loads((DEPLOY / "grafana" / "corelay.json").read_text())
    return [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]


def alert_queries():
    return re.findall(r"^\s+expr: (.+)$", (DEPLOY / "alerts.yml").read_text(), re.M)


def names_in(query):
    """The metrics of a query: what is left without strings, labels, ranges, functions and numbers."""
    text = re.sub(r'"[^"]*"', "", query)
    text = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\b(by|on|without|ignoring)\s*\([^)]*\)", " ", text)
    return set(re.findall(r"\b[a-z_:][a-z0-9_:]*\b(?!\s*\()", text)) - {"and", "or", "unless", "bool"}


def family_names(text):
    return {line.split("{")[0].split(" ")[0] for line in text.splitlines() if line and not line.startswith("#")}


def world():
    fleet = Fleet(2)
    gateway = Gateway([node.sidecar for node in fleet.nodes], fleet.directory).start()
    gateway.wait_nodes(2)
    return fleet, gateway


def test_every_metric_named_exists():
    assert names_in('rate(a_total{x="y"}[5m]) > 0 and count by (z) (b)') == {"a_total", "b"}
    fleet, gateway = world()
    there = family_names(fleet[1].get("/metrics")[1]) | family_names(gateway.get("/metrics")[1]) | {"up"}
    queries = dashboard_queries() + alert_queries()
    assert len(dashboard_queries()) > 20 and len(alert_queries()) > 5
    for query in queries:
        names = names_in(query)
        assert names and names <= there, (query, names - there)
    print(f"    {len(queries)} queries, {len(set().union(*map(names_in, queries)))} metrics")
    gateway.stop()


def test_queries_in_a_real_prometheus():
    """Each is evaluated; those of the dashboard give something once there were messages."""
    if shutil.which("prometheus") is None:
        raise Skip("prometheus is not installed (Debian: prometheus)")
    fleet, gateway = world()
    ports = Ports()
    folder = pathlib.Path(tempfile.mkdtemp(dir=fleet.directory))
    config = (DEPLOY / "prometheus.yml").read_text().replace("scrape_interval: 5s", "scrape_interval: 1s")
    lists = [[node.api for node in fleet.nodes], [f"127.0.0.1:{gateway.port}"]]
    for targets in lists:
        config = re.sub(r"targets: \[\"172[^\]]*\]", f"targets: {json.dumps(targets)}", config, count=1)
    (folder / "prometheus.yml").write_text(config)
    shutil.copy(DEPLOY / "alerts.yml", folder)
    address = f"127.0.0.1:{ports.base}"
    server = start_process(["prometheus", f"--config.file={folder}/prometheus.yml",
                            f"--storage.tsdb.path={folder}/data",
                            f"--web.listen-address={address}", "--log.level=warn"])

    def ask(query):
        url = f"http://{address}/api/v1/query?" + urllib.parse.urlencode({"query": query})
        try:
            with urllib.request.urlopen(url, timeout=10) as reply:
                return json.load(reply)["data"]["result"]
        except urllib.error.HTTPError as error:
            if error.code == 503:  # still starting
                return None
            raise AssertionError((query, error.read())) from None
        except OSError:
            return None

    gateway.subscribe("c", "t")
    wait_until("prometheus", lambda: ask("up") is not None)
    wait_until("three targets up", lambda: sum(float(one["value"][1]) for one in ask("up")) == 3)

    def lacking():
        gateway.post("/api/v1/publish", {"client_id": "c", "topic": "t", "message_length": 20000})
        return [query for query in dashboard_queries() if not ask(query)]
    wait_until("every query of the dashboard to give something", lambda: not lacking(), 40, 0.5)
    for query in alert_queries():
        # A gateway may be behind its nodes for a moment; nothing else is wrong here.
        assert ask(query) == [], (query, ask(query))
    server.terminate()
    server.wait()
    gateway.stop()


def test_rules_and_configuration():
    if shutil.which("promtool") is None:
        raise Skip("promtool is not installed (Debian: prometheus)")
    for what, name in (("config", "prometheus.yml"), ("rules", "alerts.yml")):
        done = subprocess.run(["promtool", "check", what, DEPLOY / name], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_compose_has_the_guides_addresses():
    text = COMPOSE.read_text()
    assert "- subnet: 172.28.0.0/16" in text
    services = dict(re.findall(r"^  ((?:gateway|p2pnode)-\d):\n(.*?)(?=^  \S|^\S)", text, re.M | re.S))
    wanted = {"gateway-1": ("172.28.0.10", ["8081:8080", "50051:50051"]),
              "gateway-2": ("172.28.0.11", ["8082:8080", "50052:50051"])}
    for n in (1, 2, 3, 4):
        wanted[f"p2pnode-{n}"] = (f"172.28.0.{11 + n}", [f"3322{n}:33212", f"909{n}:9090", f"707{n}:7070"])
    assert set(services) == set(wanted), services.keys()
    for name, (address, ports) in wanted.items():
        assert f"ipv4_address: {address}\n" in services[name], name
        for port in ports:
            assert f":{port}\"" in services[name], (name, port)
    settings = set(re.findall(r"\$\{(\w+)", text)) - {"CORELAY_IMAGE"}
    documented = set(re.findall(r"^(\w+)=", (SOURCE / ".env.example").read_text(), re.M))
    assert settings == documented, settings ^ documented


def test_compose_files_are_read():
    program = shutil.which("docker-compose")
    if program is None:
        raise Skip("docker-compose is not installed")
    done = subprocess.run([program, "-f", COMPOSE, "-f", MONITORING, "config", "-q"], cwd=SOURCE, capture_output=True,
                          text=True, check=False, env={"PATH": "/usr/bin:/bin", "BOOTSTRAP_PEER_ID": "x"})
    assert done.returncode == 0 and not done.stderr, done.stderr


main()
