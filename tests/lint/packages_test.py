"""tools/packages.txt names what the build asks for, and nothing twice."""
import pathlib
import re
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]

# What CMake looks for: the Debian package that brings it.
PACKAGE_OF = {
    "PkgConfig": "pkg-config", "Protobuf": "libprotobuf-dev", "gRPC": "libgrpc++-dev", "OpenSSL": "libssl-dev",
    "Boost": "libboost1.81-dev", "Threads": None, "GTest": "libgtest-dev", "rapidcheck": "librapidcheck-dev",
    "tl-expected": "libexpected-dev", "spdlog": "libspdlog-dev", "fmt": "libfmt-dev", "CLI11": "libcli11-dev",
    "tomlplusplus": "libtomlplusplus-dev", "nlohmann_json": "nlohmann-json3-dev", "absl": "libabsl-dev",
    "benchmark": "libbenchmark-dev", "prometheus-cpp": "prometheus-cpp-dev", "Python3": "python3",
    "libisal": "libisal-dev", "libsodium": "libsodium-dev", "liburing": "liburing-dev", "hwloc": "libhwloc-dev",
    "IPSec_MB": "libipsec-mb-dev", "rapidcheck.h": "librapidcheck-dev", "toml++/toml.h": "libtomlplusplus-dev",
    "CLI/CLI.hpp": "libcli11-dev", "libnats": "libnats-dev", "hiredis": "libhiredis-dev",
}


class Packages(unittest.TestCase):
    def setUp(self):
        lines = (ROOT / "tools/packages.txt").read_text().splitlines()
        self.packages = [line.split()[0] for line in lines if line and not line.startswith(("#", "["))]

    def test_no_package_twice(self):
        self.assertEqual(sorted(set(self.packages)), sorted(self.packages))

    def test_every_library_that_cmake_asks_for(self):
        asked = set()
        for path in [ROOT / "CMakeLists.txt", *ROOT.glob("cmake/*.cmake"), *ROOT.glob("*/CMakeLists.txt"),
                     *ROOT.glob("*/*/CMakeLists.txt")]:
            if "build" in path.relative_to(ROOT).parts:
                continue
            text = path.read_text()
            asked |= set(re.findall(r"find_package\(\s*([\w-]+)", text))
            for words in re.findall(r"pkg_check_modules\(([^)]*)\)", text):
                asked |= {word for word in words.split()[1:] if re.fullmatch(r"[a-z][\w+.-]*", word)}
            for words in re.findall(r"find_(?:library|path)\(([^)]*)\)", text):
                asked |= {word for word in words.split()[1:2]}
        self.assertGreater(len(asked), 8)
        for name in sorted(asked):
            with self.subTest(name=name):
                self.assertIn(name, PACKAGE_OF, "say here which Debian package brings it")
                if PACKAGE_OF[name]:
                    self.assertIn(PACKAGE_OF[name], self.packages)


if __name__ == "__main__":
    unittest.main()
