#include "snapshotter/filter/filter.h"

#include <gtest/gtest.h>

#include "snapshotter/filter/scanner.h"
#include "tests/support/status_matchers.h"

namespace slacker::testing {
namespace {

SnapshotInfo Sample() {
  return {.name = "top",
          .parent = "base",
          .kind = Kind::kActive,
          .created_nanos = 0,
          .updated_nanos = 0,
          .labels = {{"plain", "value"},
                     {"a.b.c", "dots"},
                     {"containerd.io/snapshot.ref", "sha256:12"},
                     {"odd", "x y,z\"w\tü"}}};
}

struct Case {
  const char* name;
  const char* filter;
  bool matches;
};

class MatchTest : public ::testing::TestWithParam<Case> {};

TEST_P(MatchTest, AgreesWithContainerd) {
  ASSERT_OK_AND_ASSIGN(const FilterSet set, FilterSet::Parse({GetParam().filter}));
  EXPECT_EQ(set.Matches(Sample()), GetParam().matches) << GetParam().filter;
}

INSTANTIATE_TEST_SUITE_P(
    Fields, MatchTest,
    ::testing::Values(
        Case{"Empty", "", true}, Case{"Name", "name==top", true},
        Case{"OtherName", "name==other", false}, Case{"NotName", "name!=other", true},
        Case{"Parent", "parent==base", true}, Case{"EmptyParent", "parent==\"\"", false},
        Case{"Kind", "kind==active", true}, Case{"OtherKind", "kind==view", false},
        Case{"NamePresent", "name", true}, Case{"UnknownAbsent", "flavour", false},
        Case{"UnknownIsNotEqual", "flavour!=x", true},
        Case{"UnknownNotUnequalToEmpty", "flavour!=\"\"", false},
        Case{"UnknownNeverEqual", "flavour==\"\"", false},
        Case{"LabelPresent", "labels.plain", true}, Case{"LabelAbsent", "labels.none", false},
        Case{"LabelWithDots", "labels.a.b.c==dots", true},
        Case{"QuotedLabel", "labels.\"a.b.c\"==dots", true},
        Case{"PartlyQuotedLabel", "labels.\"a.b\".c==dots", true},
        Case{"LabelsAlone", "labels", false},
        Case{"Reference", "labels.\"containerd.io/snapshot.ref\"==sha256:12", true},
        Case{"ReferenceAndParent",
             "labels.\"containerd.io/snapshot.ref\"==sha256:12,parent==\"base\"", true},
        Case{"ReferenceAndOtherParent",
             "labels.\"containerd.io/snapshot.ref\"==sha256:12,parent==\"\"", false}),
    [](const auto& test) { return test.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Syntax, MatchTest,
    ::testing::Values(
        Case{"All", "name==top,kind==active,parent==base", true},
        Case{"OneOfAllFails", "name==top,kind==view", false},
        Case{"BlankBeforeField", " name==top", true},
        Case{"BlankAroundOperator", "name == top", true},
        Case{"BlankAfterComma", "name==top, kind==active", true},
        Case{"BlankAfterDot", "labels. plain==value", true},
        Case{"QuotedField", "\"name\"==top", true},
        Case{"QuotedEscapes", R"(labels.odd=="x y,z\"w\t\u00fc")", true},
        Case{"OctalAndHex", R"(name=="\164\x6f\U00000070")", true},
        Case{"ValueWithPunctuation", "name!=a:b/c=d.e", true},
        Case{"ValueWithQuoteInside", "name!=a\"b", true}, Case{"Expression", "name~=^t.p$", true},
        Case{"ExpressionUnanchored", "name~=o", true},
        Case{"ExpressionInSlashes", "name~=/^(t|x)op$/", true},
        Case{"ExpressionInPipes", "name~=|^t|", true},
        Case{"ExpressionInQuotes", "name~=\"^t\"", true},
        Case{"ExpressionOnAbsent", "flavour~=^$", true}, Case{"ExpressionFails", "name~=^p", false},
        Case{"EscapedSlash", R"(labels."containerd.io/snapshot.ref"~=/a\/b|12$/)", true}),
    [](const auto& test) { return test.param.name; });

struct BadCase {
  const char* name;
  std::string filter;
  const char* text;
};

class MalformedTest : public ::testing::TestWithParam<BadCase> {};

TEST_P(MalformedTest, IsInvalidWithThePosition) {
  EXPECT_THAT(FilterSet::Parse({"name==x", GetParam().filter}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, GetParam().text))
      << GetParam().filter;
}

INSTANTIATE_TEST_SUITE_P(
    All, MalformedTest,
    ::testing::Values(
        BadCase{"Blank", " ", "byte 1"}, BadCase{"OneEqual", "name=x", "byte 4"},
        BadCase{"ThreeEquals", "name===x", "byte 4"}, BadCase{"NoValue", "name==", "byte 6"},
        BadCase{"NoField", "==x", "byte 0"}, BadCase{"TrailingComma", "name,", "byte 5"},
        BadCase{"LeadingComma", ",name", "byte 0"}, BadCase{"TrailingDot", "labels.", "byte 7"},
        BadCase{"BlankBeforeComma", "name ,kind", "byte 5"},
        BadCase{"BlankBeforeDot", "labels .a", "byte 7"},
        BadCase{"TrailingBlank", "name==x ", "byte 7"}, BadCase{"TwoValues", "name==x y", "byte 7"},
        BadCase{"QuoteNotClosed", "name==\"x", "byte 6"},
        BadCase{"LineFeedInQuotes", "name==\"x\ny\"", "byte 6"},
        BadCase{"UnknownEscape", R"(name=="\q")", "byte 6"},
        BadCase{"ShortEscape", R"(name=="\x1")", "byte 6"},
        BadCase{"OctalTooLarge", R"(name=="\777")", "byte 6"},
        BadCase{"NotUnicode", R"(name=="\U00110000")", "byte 6"},
        BadCase{"SlashesWithoutExpression", "name==/x/", "byte 6"},
        BadCase{"SlashField", "/name/==x", "byte 0"},
        BadCase{"FieldWithDash", "na-me==x", "byte 2"},
        BadCase{"BadExpression", "name~=\"(\"", "missing"},
        BadCase{"HugeExpression", "name~=\"((a{100}){100}){100}\"", "byte"},
        BadCase{"Nul", std::string("name==\"x\0y\"", 11), "byte 6"},
        BadCase{"NotUtf8", "name==\"\xff\"", "byte 6"}, BadCase{"NotUtf8Bare", "\xc3(", "byte 0"},
        BadCase{"TooLong", std::string(kMaxFilterBytes + 1, 'a'), "longer than"}),
    [](const auto& test) { return test.param.name; });

TEST(FilterSetTest, AnyOfSeveralFiltersMatches) {
  ASSERT_OK_AND_ASSIGN(const FilterSet set, FilterSet::Parse({"name==x", "kind==active"}));
  EXPECT_TRUE(set.Matches(Sample()));
  ASSERT_OK_AND_ASSIGN(const FilterSet none, FilterSet::Parse({"name==x", "kind==view"}));
  EXPECT_FALSE(none.Matches(Sample()));
  ASSERT_OK_AND_ASSIGN(const FilterSet all, FilterSet::Parse({}));
  EXPECT_TRUE(all.Matches(Sample()));
}

TEST(FilterSetTest, NumbersOfFiltersAndSelectorsAreLimited) {
  EXPECT_THAT(FilterSet::Parse(std::vector<std::string>(kMaxFilters + 1, "name")).status(),
              StatusIs(absl::StatusCode::kInvalidArgument));
  std::string many = "name";
  for (size_t i = 0; i < kMaxSelectors; ++i) many += ",name";
  EXPECT_THAT(FilterSet::Parse({many}).status(), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(FilterSetTest, EqualityOfIndexedFieldsNarrowsTheSearch) {
  ASSERT_OK_AND_ASSIGN(const FilterSet set,
                       FilterSet::Parse({"name==a,kind==view",
                                         "parent==\"\",labels.\"containerd.io/snapshot.ref\"==r",
                                         "labels.containerd.io==x,name!=b"}));
  const auto sets = set.CandidateSets();
  ASSERT_EQ(sets.size(), 3U);
  EXPECT_EQ(sets[0].name, "a");
  EXPECT_EQ(sets[1].parent, "");
  EXPECT_EQ(sets[1].ref, "r");
  EXPECT_FALSE(sets[1].name.has_value());
  EXPECT_FALSE(sets[2].name || sets[2].parent || sets[2].ref);
}

TEST(UnquoteTest, FollowsGo) {
  EXPECT_EQ(*UnquoteFilterToken(R"("\a\b\f\n\r\t\v\\\"")"), "\a\b\f\n\r\t\v\\\"");
  EXPECT_EQ(*UnquoteFilterToken(R"("\xff\377")"), "\xff\xff");
  EXPECT_EQ(*UnquoteFilterToken(R"("\u20ac\U0001F600")"), "\xe2\x82\xac\xf0\x9f\x98\x80");
  EXPECT_EQ(*UnquoteFilterToken(R"("\ud800")"), "\xef\xbf\xbd");
  EXPECT_EQ(*UnquoteFilterToken(R"(/a\/b/)"), "a/b");
  for (const char* bad : {"\"", "\"a", "\"a\"b\"", R"("\/")", R"("\'")", R"("\u12")", R"("\)"}) {
    EXPECT_THAT(UnquoteFilterToken(bad).status(), StatusIs(absl::StatusCode::kInvalidArgument))
        << bad;
  }
}

}  // namespace
}  // namespace slacker::testing
