#include "tools/corelay/text.h"

#include <gtest/gtest.h>

#include <array>

#include "tools/corelay/digest.h"

namespace corelay::tools {
namespace {

using std::chrono::milliseconds;

TEST(Text, WhatOthersSayDoesNotActOnTheTerminal) {
  EXPECT_EQ(on_terminal("grün\n\ta"), "grün\n\ta");
  EXPECT_EQ(on_terminal("\x1b[31m\r\x7f\x9b\xc2\x9b"), R"(\x1b[31m\x0d\x7f\x9b\xc2\x9b)");
  EXPECT_EQ(on_line("a\nb\tc\x07"), R"(a b c\x07)");
}

TEST(Text, CommasEveryThreeDigits) {
  EXPECT_EQ(with_commas(0), "0");
  EXPECT_EQ(with_commas(999), "999");
  EXPECT_EQ(with_commas(1000), "1,000");
  EXPECT_EQ(with_commas(4194304), "4,194,304");
  EXPECT_EQ(with_commas(18446744073709551615ull), "18,446,744,073,709,551,615");
}

TEST(Text, BytesInTheLargestUnitThatFits) {
  EXPECT_EQ(human_bytes(0), "0 B");
  EXPECT_EQ(human_bytes(1023), "1023 B");
  EXPECT_EQ(human_bytes(1024), "1.0 KiB");
  EXPECT_EQ(human_bytes(1048575), "1.0 MiB");  // not "1024.0 KiB"
  EXPECT_EQ(human_bytes(5u << 20), "5.0 MiB");
  EXPECT_EQ(human_bytes(1ull << 50), "1024.0 TiB");
}

TEST(Text, ExactBytesSayRoughlyTooWhereThatHelps) {
  EXPECT_EQ(exact_bytes(1), "1 byte");
  EXPECT_EQ(exact_bytes(0), "0 bytes");
  EXPECT_EQ(exact_bytes(102400), "102,400 bytes (100.0 KiB)");
}

TEST(Text, TimesKeepThreeFigures) {
  EXPECT_EQ(human_time(std::chrono::microseconds(420)), "0.4 ms");
  EXPECT_EQ(human_time(std::chrono::microseconds(4230)), "4.2 ms");
  EXPECT_EQ(human_time(std::chrono::microseconds(9960)), "10 ms");
  EXPECT_EQ(human_time(milliseconds(612)), "612 ms");
  EXPECT_EQ(human_time(milliseconds(1614)), "1.61 s");
}

TEST(Text, DurationsWithAndWithoutUnit) {
  EXPECT_EQ(parse_duration("250ms"), milliseconds(250));
  EXPECT_EQ(parse_duration("1.5s"), milliseconds(1500));
  EXPECT_EQ(parse_duration("3"), milliseconds(3000));
  EXPECT_EQ(parse_duration("2m"), milliseconds(120'000));
  for (const char* wrong : {"", "s", "-1s", "1 s", "1d", "1e400s", "nan", "inf", "9999999999h"}) {
    EXPECT_EQ(parse_duration(wrong), std::nullopt) << wrong;
  }
}

TEST(Text, SizesInBinaryUnits) {
  EXPECT_EQ(parse_bytes("0"), 0u);
  EXPECT_EQ(parse_bytes("100KiB"), 102400u);
  EXPECT_EQ(parse_bytes("4M"), 4194304u);
  EXPECT_EQ(parse_bytes("1.5KiB"), 1536u);
  for (const char* wrong : {"", "KiB", "-1", "3x", "4 MiB", "1e3"})
    EXPECT_EQ(parse_bytes(wrong), std::nullopt) << wrong;
}

TEST(Text, PrintableIsUtf8WithoutControls) {
  EXPECT_TRUE(is_printable(""));
  EXPECT_TRUE(is_printable("plain, tab\tand\nline"));
  EXPECT_TRUE(is_printable("Grüße €𝄞"));
  EXPECT_FALSE(is_printable(std::string_view("a\0b", 3)));
  EXPECT_FALSE(is_printable("\x1b[31m"));
  EXPECT_FALSE(is_printable("\x7f"));
  EXPECT_FALSE(is_printable("\xc0\xaf"));          // overlong
  EXPECT_FALSE(is_printable("\xed\xa0\x80"));      // surrogate
  EXPECT_FALSE(is_printable("\xe2\x82"));          // cut short
  EXPECT_FALSE(is_printable("\xf4\x90\x80\x80"));  // beyond U+10FFFF
  EXPECT_FALSE(is_printable("\x80"));
  EXPECT_FALSE(is_printable("\xc2\x9b" "31m"));  // a control sequence in one character
  EXPECT_TRUE(is_printable("\xc2\xa0"));
}

TEST(Text, QuotesAndEscapes) {
  EXPECT_EQ(in_quotes("random"), "\"random\"");
  EXPECT_EQ(in_quotes("a\"b\\c\n\t"), R"("a\"b\\c\n\t")");
  EXPECT_EQ(in_quotes("\x01"), R"("\x01")");
  EXPECT_EQ(in_quotes("ü"), "\"ü\"");
  EXPECT_EQ(in_quotes("\xc2\x9bm\xff"), R"("\xc2\x9bm\xff")");
}

TEST(Text, PayloadsAreShownAsTextOnlyWhereShortAndPrintable) {
  EXPECT_EQ(shown_payload("hello"), "\"hello\"");
  EXPECT_EQ(shown_payload(""), "\"\"");
  EXPECT_EQ(shown_payload(std::string(1, '\0')),
            "1 byte, SHA-256 6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
  EXPECT_TRUE(shown_payload(std::string(513, 'x')).starts_with("513 bytes, SHA-256 "));
}

TEST(Text, NearestWordOnlyWhereItIsASlip) {
  static constexpr std::array<std::string_view, 3> verbs{"publish", "subscribe", "node"};
  EXPECT_EQ(nearest("publsh", verbs), "publish");
  EXPECT_EQ(nearest("subscrbie", verbs), "subscribe");
  EXPECT_EQ(nearest("nod", verbs), "node");
  EXPECT_EQ(nearest("xyz", verbs), "");
  EXPECT_EQ(nearest("", verbs), "");
}

TEST(Digest, KnownVectors) {
  EXPECT_EQ(sha256_hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Digest, Base64BothWays) {
  for (const auto& [plain, coded] :
       {std::pair{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}}) {
    EXPECT_EQ(base64(plain), coded);
    EXPECT_EQ(from_base64(coded), plain);
  }
  std::string all(256, '\0');
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<char>(i);
  EXPECT_EQ(from_base64(base64(all)), all);
  for (const char* wrong : {"Zg=", "Z", "Zg!=", "####"})
    EXPECT_EQ(from_base64(wrong), std::nullopt) << wrong;
}

}  // namespace
}  // namespace corelay::tools
