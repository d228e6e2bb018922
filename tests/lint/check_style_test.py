"""tools/check_style.py catches each kind of violation, and only those."""
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))
import check_style  # noqa: E402
from planted import PlantedTestCase  # noqa: E402


def function_of(lines, signature="int f(int a,\n      int b) noexcept"):
    """A function that is `lines` lines long in all."""
    head = signature + " {\n"
    return head + "  a += b;\n" * (lines - head.count("\n") - 1) + "}\n"


class CheckStyle(PlantedTestCase):
    checker = check_style

    def test_refused_words_in_identifiers(self):
        for text, word in (("int chunk_count = 0;", "shard"), ("struct Piece {};", "shard"),
                           ("int fragmentIndex;", "shard"), ("class Overlay;", "mesh"),
                           ("void start_worker();", "lcore"), ("int batch_size;", "burst"),
                           ("int coding_vector;", "coefficient_vector"), ("class PeerManager;", "what it does"),
                           ("struct NodeImpl;", "what it is"), ("int get_rank();", "get_")):
            with self.subTest(text=text):
                self.assert_caught({"codec/a.cpp": f"\n{text}\n"}, "codec/a.cpp:2", word)

    def test_words_of_others_comments_and_literals_pass(self):
        self.assert_clean({"codec/a.cpp": "// a chunk of text\nauto x = std::get_if<int>(&v);\n"
                                          'auto y = stream.get_executor();\nauto z = p->chunk();\nauto s = "batch";\n'
                                          "int handled = 0;\n"})

    def test_file_length(self):
        self.assert_clean({"codec/a.cpp": "\n" * 600})
        self.assert_caught({"codec/a.cpp": "\n" * 601}, "codec/a.cpp:1", "601 lines")
        self.assert_caught({"tools/a.py": "\n" * 601}, "tools/a.py:1", "601 lines")

    def test_line_length(self):
        self.assert_clean({"codec/a.cpp": "/" * 120 + "\n"})
        self.assert_caught({"codec/a.cpp": "/" * 121 + "\n"}, "codec/a.cpp:1", "121 columns")

    def test_function_length(self):
        for wrap in ("{}", "namespace n {{\n{}}}\n", "namespace n {{\nclass C {{\n{}}};\n}}\n"):
            with self.subTest(wrap=wrap):
                self.assert_clean({"codec/a.cpp": wrap.format(function_of(70))})
                line = wrap.split("{}")[0].count("\n") + 1
                self.assert_caught({"codec/a.cpp": wrap.format(function_of(71))}, f"codec/a.cpp:{line}", "71 lines")
        self.assert_clean({"codec/a.cpp": "int table[] = {\n" + "  1,\n" * 100 + "};\n"})

    def test_unfinished_parts(self):
        for word in ("FIX" + "ME", "TO" + "DO"):
            self.assert_caught({"codec/a.cpp": f"int a;  // {word}: later\n"}, "codec/a.cpp:1", "unfinished")
            self.assert_caught({"tools/run": f"#!/bin/sh\n# {word}\n"}, "tools/run:2", "unfinished")

    def test_trailing_space(self):
        self.assert_caught({"codec/a.cpp": "int a; \n"}, "codec/a.cpp:1", "space")

    def test_refused_folders(self):
        for folder in ("common", "utils"):
            self.assert_caught({f"codec/{folder}/a.cpp": "int a;\n"}, f"codec/{folder}/a.cpp:1", "folder")

    def test_header_guard(self):
        self.assert_clean({"codec/a.h": "/// A.\n#pragma once\n"})
        self.assert_caught({"codec/a.h": "int a();\n"}, "codec/a.h:1", "#pragma once")

    def test_links(self):
        self.assert_clean({"README.md": "[a](docs/a.md) [b](docs/a.md#two-words) [c](#top-level) [d](https://e.org)\n"
                                        "`[e](no.md)`\n# Top level\n", "docs/a.md": "## Two words\n"})
        self.assert_caught({"README.md": "\n[a](docs/b.md)\n"}, "README.md:2", "no such file")
        self.assert_caught({"README.md": "[a](docs/a.md#three)\n", "docs/a.md": "## Two\n"}, "README.md:1", "heading")

    def test_figures_without_a_command(self):
        table = "## Speed\n\n| size | mean |\n|---|---|\n| 1 | 2.5 ms |\n| 2 | 3 ms |\n"
        self.assert_caught({"README.md": "# A\n\n" + table}, "README.md:3", "figures")
        self.assert_clean({"README.md": table + "\nFrom `tools/bench codec`.\n"})
        self.assert_clean({"README.md": "| variable | meaning |\n|---|---|\n| `A` | 3 things |\n| `B` | 4 |\n"})


if __name__ == "__main__":
    unittest.main()
