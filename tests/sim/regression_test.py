"""tools/bench propagation --against: what counts as a regression, and what cannot be compared."""
import importlib.util
import json
import pathlib
import unittest

BENCH = pathlib.Path(__file__).resolve().parents[2] / "bench"
SPEC = importlib.util.spec_from_file_location("propagation", BENCH / "propagation.py")
propagation = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(propagation)


def row(t99_ms=100.0, sent_mean=2.0, router="corelay"):
    return {"scenario": "S", "router": router, "seed": 1, "nodes": 9, "t99_ms": t99_ms, "sent_mean": sent_mean}


class Regressions(unittest.TestCase):
    def found(self, now, before):
        return list(propagation.regressions(now, before))

    def test_a_tenth_is_allowed_and_more_is_not(self):
        self.assertEqual(self.found([row(109.9, 2.19)], [row()]), [])
        self.assertEqual(self.found([row(50, 1)], [row()]), [])
        self.assertEqual(len(self.found([row(110.1)], [row()])), 1)
        self.assertEqual(len(self.found([row(sent_mean=2.21)], [row()])), 1)
        self.assertEqual(len(self.found([row(120, 3)], [row()])), 2)

    def test_a_run_that_never_gets_there_any_more_is_one(self):
        self.assertEqual(len(self.found([row(None)], [row()])), 1)
        self.assertEqual(self.found([row()], [row(None)]), [])

    def test_runs_that_only_one_side_has_are_named(self):
        self.assertEqual(len(self.found([row(), row(router="new")], [row()])), 1)
        self.assertEqual(len(self.found([row()], [row(), row(router="gone")])), 1)
        self.assertEqual(len(self.found([], [row()])), 1)

    def test_the_committed_document_has_every_short_run_with_its_figures(self):
        rows = json.loads((BENCH / "propagation_short.json").read_text())["rows"]
        wanted = {(scenario, router, nodes) for scenario, nodes in propagation.SHORT
                  for router in ("corelay", propagation.RS)}
        self.assertEqual({(one["scenario"], one["router"], one["nodes"]) for one in rows}, wanted)
        for one in rows:
            self.assertEqual(one["coverage"], 1.0, one)
            self.assertGreater(one["t99_ms"], one["lb99_ms"], one)
            self.assertGreater(one["sent_mean"], 0.9, one)


if __name__ == "__main__":
    unittest.main()
