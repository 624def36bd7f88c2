#include "cmd/hellobench/catalogue/catalogue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace slacker::hellobench {
namespace {

using ::slacker::testing::IsOk;
using ::slacker::testing::StatusIs;
using ::slacker::testing::TempDir;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr char kInstalled[] = SLACKER_SOURCE_DIR "/cmd/hellobench/catalogue/catalogue.toml";

// The paper's own catalogue.

class InstalledCatalogueTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_OK(catalogue_.AddFile(kInstalled)); }

  Catalogue catalogue_;
};

TEST_F(InstalledCatalogueTest, HasThePapersImagesInItsCategories) {
  std::map<std::string_view, int> counts;
  for (const Image& image : catalogue_.images()) ++counts[NameOf(image.category)];
  EXPECT_EQ(catalogue_.images().size(), 57U);
  EXPECT_THAT(counts, UnorderedElementsAre(Pair("distro", 13), Pair("database", 10),
                                           Pair("language", 17), Pair("web-server", 6),
                                           Pair("web-framework", 4), Pair("other", 7)));
}

TEST_F(InstalledCatalogueTest, HasThePapersKindsOfTasks) {
  std::map<std::string, int> counts;
  for (const Image& image : catalogue_.images()) {
    ++counts[std::string(NameOf(image.category)) + " " + std::string(NameOf(image.kind))];
  }
  EXPECT_THAT(counts, UnorderedElementsAre(
                          Pair("distro E", 13), Pair("database W", 10), Pair("language S", 13),
                          Pair("language A", 4), Pair("web-server W", 5), Pair("web-server P", 1),
                          Pair("web-framework S", 2), Pair("web-framework P", 2),
                          Pair("other A", 1), Pair("other W", 5), Pair("other P", 1)));
}

// What the paper has: an image, its kind, and what its containers run, or write when they are ready, behind their
// environment; and the port. Standard input is what a shell, or the image's own program, reads there.
struct OfPaper {
  const char* name;
  const char* kind;
  const char* task;
};
constexpr OfPaper kPaper[] = {
    {"alpine", "E", "echo hello"},
    {"busybox", "E", "echo hello"},
    {"crux", "E", "echo hello"},
    {"cirros", "E", "echo hello"},
    {"debian", "E", "echo hello"},
    {"ubuntu", "E", "echo hello"},
    {"ubuntu-upstart", "E", "echo hello"},
    {"ubuntu-debootstrap", "E", "echo hello"},
    {"centos", "E", "echo hello"},
    {"fedora", "E", "echo hello"},
    {"opensuse", "E", "echo hello"},
    {"oraclelinux", "E", "echo hello"},
    {"mageia", "E", "echo hello"},
    {"mysql", "W", "MYSQL_ROOT_PASSWORD=abc mysqld: ready for connections"},
    {"percona", "W", "MYSQL_ROOT_PASSWORD=abc mysqld: ready for connections"},
    {"mariadb", "W", "MYSQL_ROOT_PASSWORD=abc mysqld: ready for connections"},
    {"postgres", "W", "database system is ready to accept connections"},
    {"redis", "W", "server is now ready to accept connections"},
    {"crate", "W", "started"},
    {"rethinkdb", "W", "Server ready"},
    {"cassandra", "W", "Listening for thrift clients"},
    {"mongo", "W", "waiting for connections"},
    {"elasticsearch", "W", "] started"},
    {"php", "S", R"(php -r "echo \"hello\n\";")"},
    {"ruby", "S", R"(ruby -e "puts \"hello\"")"},
    {"jruby", "S", R"(jruby -e "puts \"hello\"")"},
    {"julia", "S", R"(julia -e 'println("hello")')"},
    {"gcc", "S", "cd /src; gcc main.c; ./a.out"},
    {"golang", "S", "cd /go/src; go run main.go"},
    {"clojure", "S", "cd /hello/hello; lein run"},
    {"haskell", "S", R"("hello")"},
    {"hylang", "S", R"((print "hello"))"},
    {"java", "S", "cd /src; javac Main.java; java Main"},
    {"mono", "S", "cd /src; mcs main.cs; mono main.exe"},
    {"r-base", "S", R"(sprintf("hello"))"},
    {"thrift", "S", "cd /src; thrift --gen py hello.idl"},
    {"perl", "A", R"(perl -e print("hello\n"))"},
    {"rakudo-star", "A", R"(perl6 -e print("hello\n"))"},
    {"pypy", "A", R"(pypy3 -c print("hello"))"},
    {"python", "A", R"(python -c print("hello"))"},
    {"httpd", "W", "httpd -D FOREGROUND"},
    {"nginx", "P", ":80"},
    {"glassfish", "W", "Running GlassFish"},
    {"jetty", "W", "main: Started"},
    {"php-zendserver", "W", "Zend Server started"},
    {"tomcat", "W", "Server startup"},
    {"django", "S", "django-admin startproject hello"},
    {"rails", "S", "rails new hello"},
    {"node", "P", "node /src/index.js :80"},
    {"iojs", "P", "iojs /src/index.js :80"},
    {"hello-world", "A", ""},
    {"ghost", "W", "Listening on"},
    {"drupal", "W", "apache2 -D FOREGROUND"},
    {"jenkins", "W", "Jenkins is fully up and running"},
    {"sonarqube", "W", "Process[web] is up"},
    {"rabbitmq", "W", "Server startup complete"},
    {"registry", "P", R"(GUNICORN_OPTS=["--preload"] :5000)"},
};

// The same of an entry.
std::string TaskOf(const Image& image) {
  std::string all;
  const auto add = [&all](const std::string& word) { all += (all.empty() ? "" : " ") + word; };
  for (const auto& [name, value] : image.task.environment) add(name + "=" + value);
  for (const std::string& word : image.task.command) add(word);
  // Of a script, "sh -c" is every one's.
  const auto& words = image.task.arguments;
  for (size_t i = image.kind == Kind::kScript ? 2U : 0U; i < words.size(); ++i) add(words[i]);
  if (const auto* line = std::get_if<ReadyLine>(&image.task.ready)) add(line->text);
  if (const auto* port = std::get_if<ReadyPort>(&image.task.ready)) {
    add(":" + std::to_string(port->port));
  }
  return all;
}

TEST_F(InstalledCatalogueTest, HasThePapersTasksAndSaysWhereTheyAreOthers) {
  ASSERT_EQ(std::size(kPaper), catalogue_.images().size());
  for (const OfPaper& paper : kPaper) {
    SCOPED_TRACE(paper.name);
    const auto image = catalogue_.Find(paper.name);
    ASSERT_THAT(image, IsOk());
    EXPECT_EQ(NameOf((*image)->kind), paper.kind);
    if (TaskOf(**image) == paper.task) continue;
    EXPECT_THAT((*image)->note, Not(IsEmpty())) << TaskOf(**image) << "\n" << paper.task;
  }
}

TEST_F(InstalledCatalogueTest, ImagesAreNamedInFullWithATag) {
  for (const Image& image : catalogue_.images()) {
    EXPECT_THAT(image.task.image, ::testing::MatchesRegex("[a-z.]+\\.(io|com)/[a-z/0-9.-]+:.+"));
  }
}

TEST_F(InstalledCatalogueTest, WhatReplacesAnImageStandsBesideTheOriginal) {
  const auto java = catalogue_.Find("java");
  ASSERT_THAT(java, IsOk());
  EXPECT_THAT((*java)->task.image, HasSubstr("eclipse-temurin"));
  EXPECT_EQ((*java)->original, "docker.io/library/java:latest");
  EXPECT_THAT((*java)->note, HasSubstr("retired"));
  // Every entry that is not Docker's own library of today says so, too.
  for (const Image& image : catalogue_.images()) {
    const std::string own = "docker.io/library/" + image.name + ":";
    EXPECT_TRUE(image.task.image.starts_with(own) || !image.original.empty()) << image.name;
  }
}

TEST_F(InstalledCatalogueTest, EveryFolderBelongsToATask) {
  std::set<std::string> used;
  for (const Image& image : catalogue_.images()) {
    for (const auto& [target, folder] : image.task.mounts) {
      used.insert(std::filesystem::path(folder).filename().string());
    }
  }
  std::set<std::string> there;
  const auto files = std::filesystem::path(kInstalled).parent_path() / "files";
  for (const auto& entry : std::filesystem::directory_iterator(files)) {
    there.insert(entry.path().filename().string());
  }
  EXPECT_EQ(used, there);
}

// Catalogues of users.

class CatalogueTest : public ::testing::Test {
 protected:
  CatalogueTest() { std::filesystem::create_directory(dir_ / "src"); }

  absl::Status Add(const std::string& text) { return catalogue_.Add(text, "f", dir_.path()); }
  const Image& last() const { return catalogue_.images().back(); }

  TempDir dir_;
  Catalogue catalogue_;
};

constexpr char kEcho[] =
    "[[image]]\nname = 'one'\ncategory = 'other'\nkind = 'E'\nimage = 'r.example/one:1'\n";

TEST_F(CatalogueTest, EchoSaysHelloAndEnds) {
  ASSERT_OK(Add(kEcho));
  EXPECT_EQ(last().name, "one");
  EXPECT_EQ(last().category, Category::kOther);
  EXPECT_EQ(last().task.image, "r.example/one:1");
  EXPECT_THAT(last().task.command, IsEmpty());
  EXPECT_THAT(last().task.arguments, ElementsAre("echo", "hello"));
  EXPECT_EQ(last().task.ready, Ready(ReadyExit()));
  EXPECT_EQ(last().task.time_limit_seconds, 300);
}

TEST_F(CatalogueTest, EveryKeyIsRead) {
  ASSERT_OK(
      Add("[[image]]\nname = 'p-1'\ncategory = 'web-server'\nkind = 'P'\nimage = 'nginx'\n"
          "original = 'old/nginx:1'\nnote = 'why'\ncommand = ['serve']\narguments = ['-x', 'y']\n"
          "environment = { A = 'b', 'c.d' = 'e' }\nmounts = { '/src' = 'src' }\n"
          "ready_port = 8080\nready_path = '/health'\ntime_limit = '2m'\n"
          "[image.load]\nscript = 'work'\nthroughput = 'did '\nunit = 'pieces/s'\n"
          "reply = 'ask'\n"));
  EXPECT_EQ(last().kind, Kind::kPort);
  EXPECT_EQ(last().original, "old/nginx:1");
  EXPECT_EQ(last().note, "why");
  EXPECT_THAT(last().task.command, ElementsAre("serve"));
  EXPECT_THAT(last().task.arguments, ElementsAre("-x", "y"));
  EXPECT_THAT(last().task.environment, ElementsAre(Pair("A", "b"), Pair("c.d", "e")));
  EXPECT_THAT(last().task.mounts, ElementsAre(Pair("/src", dir_ / "src")));
  EXPECT_EQ(last().task.ready, Ready(ReadyPort{8080, "/health"}));
  EXPECT_EQ(last().task.time_limit_seconds, 120);
  EXPECT_EQ(last().task.load, (Load{"work", "did ", "pieces/s", "ask"}));
  const nlohmann::json json = nlohmann::json::parse(ToJson(catalogue_.images()));
  EXPECT_EQ(json[0]["load"]["unit"], "pieces/s");
  EXPECT_EQ(json[0]["load"]["reply"], "ask");
}

TEST_F(CatalogueTest, ScriptsRunInAShellAndLinesAreWaitedFor) {
  ASSERT_OK(
      Add("[[image]]\nname = 's'\ncategory = 'language'\nkind = 'S'\nimage = 'a'\n"
          "script = 'cd /src && make'\n"));
  EXPECT_THAT(last().task.arguments, ElementsAre("sh", "-c", "cd /src && make"));
  ASSERT_OK(
      Add("[[image]]\nname = 'w'\ncategory = 'database'\nkind = 'W'\nimage = 'a'\n"
          "ready_line = 'up'\n"));
  EXPECT_THAT(last().task.arguments, IsEmpty());
  EXPECT_EQ(last().task.ready, Ready(ReadyLine{"up"}));
}

TEST_F(CatalogueTest, AFileExtendsAnotherAndTakesNoNameOfIt) {
  ASSERT_OK(catalogue_.AddFile(kInstalled));
  std::ofstream(dir_ / "own.toml") << kEcho;
  ASSERT_OK(catalogue_.AddFile(dir_ / "own.toml"));
  EXPECT_EQ(catalogue_.images().size(), 58U);
  EXPECT_THAT(catalogue_.AddFile(dir_ / "own.toml"),
              StatusIs(kInvalid, "own.toml:1: image.name: there is a \"one\" already"));
  EXPECT_EQ(catalogue_.images().size(), 58U);
}

TEST_F(CatalogueTest, ImagesAreFoundByNameAndByCategory) {
  ASSERT_OK(Add(kEcho));
  EXPECT_EQ((*catalogue_.Find("one"))->task.image, "r.example/one:1");
  EXPECT_THAT(catalogue_.Find("two"), StatusIs(absl::StatusCode::kNotFound, "\"two\""));
  EXPECT_EQ(catalogue_.InCategory(Category::kOther).size(), 1U);
  EXPECT_THAT(catalogue_.InCategory(Category::kDistro), IsEmpty());
  EXPECT_THAT(CategoryOf("others"), StatusIs(kInvalid, "must be one of distro, database"));
}

TEST_F(CatalogueTest, AFileThatIsNotThereIsAnError) {
  EXPECT_FALSE(catalogue_.AddFile(dir_ / "none.toml").ok());
}

TEST_F(CatalogueTest, JsonHasAnObjectForEachImage) {
  ASSERT_OK(Add(kEcho));
  ASSERT_OK(
      Add("[[image]]\nname = 'w'\ncategory = 'database'\nkind = 'W'\nimage = 'a'\n"
          "original = 'b'\nnote = 'why'\nready_line = 'up'\n"));
  const nlohmann::json json = nlohmann::json::parse(ToJson(catalogue_.images()));
  ASSERT_EQ(json.size(), 2U);
  EXPECT_EQ(json[0]["name"], "one");
  EXPECT_EQ(json[0]["category"], "other");
  EXPECT_EQ(json[0]["kind"], "E");
  EXPECT_EQ(json[0]["image"], "r.example/one:1");
  EXPECT_EQ(json[0]["arguments"], nlohmann::json({"echo", "hello"}));
  EXPECT_EQ(json[0]["ready"], nlohmann::json({{"exit_code", 0}}));
  EXPECT_FALSE(json[0].contains("original"));
  EXPECT_EQ(json[1]["original"], "b");
  EXPECT_EQ(json[1]["note"], "why");
  EXPECT_EQ(json[1]["ready"], nlohmann::json({{"line", "up"}}));
}

TEST_F(CatalogueTest, TextHasALineForEachImage) {
  ASSERT_OK(Add(kEcho));
  ASSERT_OK(
      Add("[[image]]\nname = 'longer'\ncategory = 'web-framework'\nkind = 'A'\nimage = 'a'\n"));
  EXPECT_EQ(ToText(catalogue_.images()),
            "one     other          E  r.example/one:1\n"
            "longer  web-framework  A  a\n");
}

// What is refused, with its place; and then nothing is added.

struct BadCase {
  const char* name;
  const char* keys;  // of an entry that has "name", "category" and "image" in lines 2 to 4
  const char* message;
};

class BadCatalogueTest : public CatalogueTest, public ::testing::WithParamInterface<BadCase> {};

TEST_P(BadCatalogueTest, IsRefusedWithFileLineAndKey) {
  const std::string before = "[[image]]\nname = 'bad'\ncategory = 'other'\nimage = 'a'\n";
  ASSERT_OK(Add(kEcho));
  EXPECT_THAT(catalogue_.Add(before + GetParam().keys, "f", dir_.path()),
              StatusIs(kInvalid, GetParam().message));
  EXPECT_EQ(catalogue_.images().size(), 1U);
}

INSTANTIATE_TEST_SUITE_P(
    All, BadCatalogueTest,
    ::testing::Values(
        BadCase{"NotToml", "kind = ", "f:5: "},
        BadCase{"UnknownKey", "kind = 'E'\nprot = 80", "f:6: image.prot: unknown key"},
        BadCase{"UnknownKind", "kind = 'X'", "f:5: image.kind: must be one of E, A, S, W, P"},
        BadCase{"MissingKind", "", "f:1: image.kind: is missing"},
        BadCase{"WrongType", "kind = 'A'\narguments = 'x'",
                "f:6: image.arguments: must be a list of strings"},
        BadCase{"ListOfNumbers", "kind = 'A'\narguments = [1]",
                "f:6: image.arguments: must be a list of strings"},
        BadCase{"BadReference", "kind = 'E'\noriginal = 'A B'\nnote = 'x'",
                "f:6: image.original: "},
        BadCase{"OriginalWithoutNote", "kind = 'E'\noriginal = 'b'",
                "f:1: image.original: goes with"},
        BadCase{"NoteWithoutOriginal", "kind = 'E'\nnote = 'b'", "f:1: image.original: goes with"},
        BadCase{"EmptyNote", "kind = 'E'\noriginal = 'b'\nnote = ''",
                "f:7: image.note: must not be empty"},
        BadCase{"EchoWithArguments", "kind = 'E'\narguments = []",
                "f:6: image.arguments: has no use in kind E"},
        BadCase{"ScriptWithCommand", "kind = 'S'\nscript = 'x'\ncommand = ['y']",
                "f:7: image.command: has no use in kind S"},
        BadCase{"ScriptWithout", "kind = 'S'", "f:1: image.script: is missing"},
        BadCase{"LineWithout", "kind = 'W'", "f:1: image.ready_line: is missing"},
        BadCase{"EmptyLine", "kind = 'W'\nready_line = ''", "f:6: image.ready_line: must not be"},
        BadCase{"PortWithout", "kind = 'P'", "f:1: image.ready_port: is missing"},
        BadCase{"LineWithPort", "kind = 'W'\nready_line = 'x'\nready_port = 80",
                "f:7: image.ready_port: has no use in kind W"},
        BadCase{"PortZero", "kind = 'P'\nready_port = 0", "f:6: image.ready_port: must be from 1"},
        BadCase{"PortAsText", "kind = 'P'\nready_port = '80'",
                "f:6: image.ready_port: must be an integer"},
        BadCase{"RelativePath", "kind = 'P'\nready_port = 80\nready_path = 'x'",
                "f:7: image.ready_path: must begin"},
        BadCase{"PathWithBlank", "kind = 'P'\nready_port = 80\nready_path = '/x y'",
                "f:7: image.ready_path: must begin"},
        BadCase{"TimeLimitWithoutUnit", "kind = 'E'\ntime_limit = '5'",
                "f:6: image.time_limit: \"5\" is not a time"},
        BadCase{"TimeLimitOfNothing", "kind = 'E'\ntime_limit = '0'",
                "f:6: image.time_limit: must be from 1s"},
        BadCase{"EnvironmentAsList", "kind = 'E'\nenvironment = ['A=b']",
                "f:6: image.environment: must be a table of strings"},
        BadCase{"EnvironmentOfNumbers", "kind = 'E'\nenvironment = { A = 1 }",
                "f:6: image.environment: must be a table of strings"},
        BadCase{"RelativeMount", "kind = 'E'\nmounts = { src = 'src' }",
                "f:6: image.mounts: must have absolute paths"},
        BadCase{"MountOfNothing", "kind = 'E'\nmounts = { '/src' = 'none' }",
                "f:6: image.mounts: there is no folder"},
        BadCase{"LoadOfATaskThatEnds",
                "kind = 'E'\nload = { script = 'a', throughput = 'a', unit = 'b' }",
                "f:6: image.load: has no use in kind E"},
        BadCase{"LoadWithoutAUnit",
                "kind = 'W'\nready_line = 'a'\nload = { script = 'a', throughput = 'a' }",
                "f:7: image.load: needs a unit"},
        BadCase{"LoadWithMore",
                "kind = 'W'\nready_line = 'a'\n"
                "load = { script = 'a', throughput = 'a', unit = 'b', x = 'c' }",
                "f:7: image.load: x: unknown key"},
        BadCase{"SecondTable", "kind = 'E'\n[run]\nx = 1", "f:6: run: unknown key"}),
    [](const auto& bad) { return std::string(bad.param.name); });

TEST_F(CatalogueTest, OtherThingsThanEntriesAreRefused) {
  EXPECT_THAT(Add("[image]\nname = 'x'\n"), StatusIs(kInvalid, "f:1: image: must be written"));
  EXPECT_THAT(Add("image = [1]\n"), StatusIs(kInvalid, "f:1: image: must be written"));
  EXPECT_THAT(Add("images = []\n"), StatusIs(kInvalid, "f:1: images: unknown key"));
  EXPECT_THAT(Add("[[image]]\nname = 'A'\n"), StatusIs(kInvalid, "f:2: image.name: must be small"));
  EXPECT_THAT(Add("[[image]]\nname = '-a'\n"),
              StatusIs(kInvalid, "f:2: image.name: must be small"));
  EXPECT_THAT(Add("[[image]]\ncategory = 'web'\n"),
              StatusIs(kInvalid, "f:2: image.category: must be one of distro, database"));
  EXPECT_THAT(Add("[[image]]\nimage = ''\n"), StatusIs(kInvalid, "f:2: image.image: "));
  EXPECT_THAT(Add(std::string(kEcho) + kEcho),
              StatusIs(kInvalid, "f:6: image.name: there is a \"one\" already"));
  EXPECT_THAT(catalogue_.images(), IsEmpty());
}

}  // namespace
}  // namespace slacker::hellobench
