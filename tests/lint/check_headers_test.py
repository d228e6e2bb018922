"""tests/lint/check_headers.py catches a header that needs another one, and one that cannot be included twice."""
import json
import pathlib
import tempfile
import unittest

import check_headers

PLANTED = {
    "codec/good.h": ("#pragma once\n#include <cstddef>\nstd::size_t good();\n", None),
    "codec/incomplete.h": ("#pragma once\nstd::vector<int> incomplete();\n", "vector"),
    "codec/unguarded.h": ("inline int unguarded() { return 1; }\n", "redefinition"),
    "dataplane/uses.h": ('#pragma once\n#include "codec/good.h"\ninline std::size_t uses() { return good(); }\n', None),
}


class CheckHeaders(unittest.TestCase):
    def test_planted_headers(self):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            build = root / "build"
            build.mkdir()
            (build / "compile_commands.json").write_text(
                json.dumps([{"file": "a.cpp", "command": f"ccache c++ -I{root} -c a.cpp"}]))
            for name, (text, _) in PLANTED.items():
                (root / name).parent.mkdir(exist_ok=True)
                (root / name).write_text(text)
            problems, count = check_headers.check(root, build)
        self.assertEqual(count, len(PLANTED))
        caught = {problem.split(":")[0]: problem for problem in problems}
        for name, (_, complaint) in PLANTED.items():
            if complaint is None:
                self.assertNotIn(name, caught)
            else:
                self.assertIn(complaint, caught.get(name, ""))


if __name__ == "__main__":
    unittest.main()
