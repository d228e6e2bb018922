"""tools/check_layers.py catches each kind of violation, and lets the allowed neighbours pass."""
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))
import check_layers  # noqa: E402
from planted import PlantedTestCase  # noqa: E402

DOORS = {
    "codec/field.h": "#pragma once\n",
    "dataplane/dataplane.h": "#pragma once\n",
    "dataplane/core/relay.h": "#pragma once\n",
    "dataplane/io/packet_io.h": "#pragma once\n",
    "dataplane/lcore/lcore.h": "#pragma once\n",
    "control/mesh/mesh.h": "#pragma once\n",
    "control/libp2p/host.h": "#pragma once\n",
    "control/node/node.h": "#pragma once\n",
    "sim/sim.h": "#pragma once\n",
    "tests/oracle.h": "#pragma once\n",
    "bench/rows.h": "#pragma once\n",
}

# File, what it includes and may not.
REFUSED = [
    ("codec/a.cpp", "dataplane/dataplane.h"),
    ("codec/a.cpp", "control/mesh/mesh.h"),
    ("dataplane/core/a.cpp", "dataplane/io/packet_io.h"),
    ("dataplane/core/a.cpp", "dataplane/lcore/lcore.h"),
    ("dataplane/core/a.cpp", "control/mesh/mesh.h"),
    ("dataplane/io/a.cpp", "dataplane/lcore/lcore.h"),
    ("dataplane/io/a.cpp", "control/node/node.h"),
    ("dataplane/lcore/a.cpp", "control/node/node.h"),
    ("dataplane/a.h", "dataplane/core/relay.h"),
    ("dataplane/a.cpp", "control/mesh/mesh.h"),
    ("control/mesh/a.cpp", "dataplane/core/relay.h"),
    ("control/mesh/a.cpp", "control/libp2p/host.h"),
    ("control/mesh/a.cpp", "control/node/node.h"),
    ("control/libp2p/a.cpp", "control/mesh/mesh.h"),
    ("control/libp2p/a.cpp", "dataplane/dataplane.h"),
    ("control/node/a.cpp", "dataplane/core/relay.h"),
    ("control/node/a.cpp", "dataplane/lcore/lcore.h"),
    ("control/node/a.cpp", "sim/sim.h"),
    ("sim/a.cpp", "dataplane/lcore/lcore.h"),
    ("sim/a.cpp", "control/node/node.h"),
    ("tools/a.cpp", "dataplane/core/relay.h"),
    ("tools/a.cpp", "dataplane/io/packet_io.h"),
]
ALLOWED = [
    ("dataplane/core/a.cpp", "codec/field.h"),
    ("dataplane/core/a.cpp", "dataplane/dataplane.h"),
    ("dataplane/lcore/a.cpp", "dataplane/io/packet_io.h"),
    ("dataplane/a.cpp", "dataplane/lcore/lcore.h"),
    ("control/mesh/a.cpp", "dataplane/dataplane.h"),
    ("control/node/a.cpp", "control/libp2p/host.h"),
    ("sim/a.cpp", "dataplane/core/relay.h"),
    ("tools/a.cpp", "sim/sim.h"),
    ("tests/a.cpp", "dataplane/io/packet_io.h"),
    ("bench/a.cpp", "tests/oracle.h"),
]


class CheckLayers(PlantedTestCase):
    checker = check_layers

    def test_refused_includes_are_caught(self):
        for path, target in REFUSED:
            with self.subTest(path=path, target=target):
                self.assert_caught({**DOORS, path: f'#include "{target}"\n'}, f"{path}:1", "may not see it")

    def test_allowed_includes_pass(self):
        for path, target in ALLOWED:
            with self.subTest(path=path, target=target):
                self.assert_clean({**DOORS, path: f'#include "{target}"\n'})

    def test_tests_and_bench_are_included_by_nobody(self):
        for target in ("tests/oracle.h", "bench/rows.h"):
            self.assert_caught({**DOORS, "codec/a.cpp": f'#include "{target}"\n'}, "codec/a.cpp:1", "by nobody")

    def test_upward_path(self):
        self.assert_caught({**DOORS, "codec/a.cpp": '\n#include "../codec/field.h"\n'}, "codec/a.cpp:2", '".."')

    def test_path_not_from_the_root(self):
        self.assert_caught({**DOORS, "codec/a.cpp": '#include "field.h"\n'}, "codec/a.cpp:1", "repository root")

    def test_os_and_thread_headers_in_the_io_free_rooms(self):
        for room in ("codec", "dataplane/core", "control/mesh", "sim"):
            for header in ("sys/socket.h", "netinet/in.h", "unistd.h", "chrono", "thread", "mutex", "random"):
                with self.subTest(room=room, header=header):
                    self.assert_caught({f"{room}/a.cpp": f"#include <{header}>\n"}, f"{room}/a.cpp:1", "free of I/O")

    def test_os_headers_elsewhere_pass(self):
        self.assert_clean({"dataplane/io/a.cpp": "#include <sys/socket.h>\n",
                           "control/node/a.cpp": "#include <thread>\n"})

    def test_third_party_headers_stay_in_their_room(self):
        for path, header in (("dataplane/core/a.cpp", "isa-l/erasure_code.h"), ("codec/a.cpp", "liburing.h"),
                             ("dataplane/lcore/a.cpp", "liburing.h"), ("control/mesh/a.cpp", "boost/asio.hpp"),
                             ("control/libp2p/a.cpp", "grpcpp/grpcpp.h"), ("dataplane/io/a.cpp", "spdlog/spdlog.h"),
                             ("codec/a.cpp", "gtest/gtest.h")):
            with self.subTest(path=path, header=header):
                self.assert_caught({path: f"#include <{header}>\n"}, f"{path}:1", "only in")

    def test_clocks_and_chance(self):
        for text in ("std::chrono::steady_clock::now()", "clock_gettime(0, &t)", "__rdtsc()", "std::random_device d",
                     "rand()", "std::chrono::system_clock::now()"):
            for path in ("codec/a.cpp", "dataplane/core/a.cpp", "dataplane/io/a.cpp", "dataplane/lcore/ring.h",
                         "control/mesh/a.cpp", "sim/a.cpp", "dataplane/dataplane.cpp"):
                with self.subTest(path=path, text=text):
                    self.assert_caught({path: f"auto x = {text};\n"}, f"{path}:1", "passed in")

    def test_clocks_where_they_belong(self):
        for path in ("dataplane/lcore/lcore.cpp", "control/node/loop.cpp", "tests/a.cpp", "bench/a.cpp"):
            self.assert_clean({path: "auto now = std::chrono::steady_clock::now();\n"})

    def test_seeds_at_the_door_only(self):
        self.assert_clean({"dataplane/dataplane.cpp": "auto n = getrandom(&seed, 8, 0);\n"})
        self.assert_caught({"dataplane/core/a.cpp": "getrandom(&seed, 8, 0);\n"}, "dataplane/core/a.cpp:1", "passed in")

    def test_comments_and_literals_are_not_code(self):
        self.assert_clean({"codec/a.cpp": '// rand() and steady_clock\nconst char* s = "rand()";\n'
                                          '/* #include "control/mesh/mesh.h"\n*/ int operand(int a);\n'})

    def test_file_outside_every_room(self):
        self.assert_caught({"control/stray.cpp": "\n"}, "control/stray.cpp:1", "no room")


if __name__ == "__main__":
    unittest.main()
