"""A tree of planted files for the self-tests of the checkers."""
import pathlib
import tempfile
import unittest


class PlantedTestCase(unittest.TestCase):
    """Writes files into a fresh folder and runs `checker.check` on it."""

    checker = None

    def problems(self, files):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for name, text in files.items():
                path = root / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            return self.checker.check(root)

    def assert_caught(self, files, at, what):
        """Exactly one problem, at "path:line", that mentions `what`."""
        problems = self.problems(files)
        self.assertEqual(len(problems), 1, problems)
        self.assertTrue(problems[0].startswith(at + ":"), problems)
        self.assertIn(what, problems[0])

    def assert_clean(self, files):
        self.assertEqual(self.problems(files), [])
