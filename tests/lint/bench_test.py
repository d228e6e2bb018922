"""tools/bench: the document it writes, its table, and what it says when a benchmark fails."""
import contextlib
import importlib.machinery
import importlib.util
import io
import json
import pathlib
import sys
import tempfile
import unittest
from unittest import mock

PATH = pathlib.Path(__file__).resolve().parents[2] / "tools/bench"
LOADER = importlib.machinery.SourceFileLoader("bench_tool", str(PATH))
SPEC = importlib.util.spec_from_loader("bench_tool", LOADER)
bench = importlib.util.module_from_spec(SPEC)
LOADER.exec_module(bench)

GOOD = '''"""Measures nothing. Second sentence."""
import json, sys
print("progress", file=sys.stderr)
print(json.dumps({"bench": "good-one", "rows": [{"id": "a", "gbs": 1.25, "args": len(sys.argv) - 1}, {"id": "bb"}]}))
'''


class Bench(unittest.TestCase):
    def run_bench(self, *arguments):
        """(exit code, stdout, stderr) of tools/bench in a planted tree."""
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            (root / "bench").mkdir()
            (root / "bench/good_one.py").write_text(GOOD)
            (root / "bench/failing.py").write_text('"""Fails."""\nimport sys\nsys.exit(3)\n')
            (root / "bench/mute.py").write_text('"""Says nothing."""\n')
            (root / "bench/picky.py").write_text('"""Takes nothing."""\nimport sys\nsys.exit(109)\n')
            (root / "CMakePresets.json").write_text('{"configurePresets": [{"name": "dev"}]}')
            (root / "bench/ring_bench.cpp").write_text("// Measures rings:\n// more.\n")
            out, err = io.StringIO(), io.StringIO()
            with mock.patch.object(bench, "ROOT", root), mock.patch.object(sys, "argv", ["bench", *arguments]), \
                    contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                return bench.main(), out.getvalue(), err.getvalue()

    def test_wrong_arguments_are_told_before_the_run(self):
        for arguments, word in ((["no-such"], "no benchmark 'no-such'"),
                                (["good-one", "--preset", "odd"], "no preset 'odd'; there are: dev"),
                                (["good-one", "--json", "/nowhere/a.json"], "cannot write /nowhere/a.json"),
                                (["good-one", "--json", "/tmp"], "cannot write /tmp")):
            code, out, err = self.run_bench(*arguments)
            self.assertEqual((code, out), (2, ""), arguments)
            self.assertIn(word, err)
        self.assertEqual(self.run_bench("picky")[0], 2)  # as CLI11 ends where it knows no such argument

    def test_document_and_table(self):
        with tempfile.NamedTemporaryFile() as file:
            code, out, _ = self.run_bench("good-one", "--json", file.name, "--smoke")
            document = json.load(file)
        self.assertEqual(code, 0)
        self.assertEqual(list(document), ["bench", "machine", "commit", "rows"])
        self.assertEqual(document["bench"], "good-one")
        self.assertEqual(document["rows"], [{"id": "a", "gbs": 1.25, "args": 1}, {"id": "bb"}])
        self.assertLessEqual({"cpu", "cores", "kernel", "compiler"}, set(document["machine"]))
        self.assertEqual(out.splitlines()[1:], ["id   gbs  args", "--  ----  ----", "a   1.25     1", "bb     -     -"])

    def test_list_gives_the_purpose(self):
        code, out, _ = self.run_bench("--list")
        self.assertEqual(code, 0)
        self.assertIn("good-one  Measures nothing.\n", out)
        self.assertIn("ring      Measures rings:\n", out)

    def test_failures_are_failures(self):
        self.assertEqual(self.run_bench("failing")[0], 3)
        code, _, err = self.run_bench("mute")
        self.assertEqual(code, 1)
        self.assertIn("no document", err)
        code, _, err = self.run_bench("unheard-of")
        self.assertEqual(code, 2)
        self.assertIn("good-one", err)


if __name__ == "__main__":
    unittest.main()
