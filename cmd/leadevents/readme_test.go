package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"leadevents/clickhouse/embedded"
	"leadevents/internal/storetest"
)

// command is one of the README's, and what it prints there.
type command struct{ line, output string }

// consoleOf reads the commands of the console blocks: "$ " begins one, "> " goes
// on with it, everything else is its output.
func consoleOf(t *testing.T, markdown string) []command {
	t.Helper()
	var commands []command
	for i, part := range strings.Split(markdown, "```console\n") {
		if i == 0 {
			continue
		}
		block, _, closed := strings.Cut(part, "```")
		if !closed {
			t.Fatal("a console block has no end")
		}
		for line := range strings.Lines(block) {
			switch {
			case strings.HasPrefix(line, "$ "):
				commands = append(commands, command{line: line[2:]})
			case len(commands) == 0:
				t.Fatalf("output before any command: %q", line)
			case strings.HasPrefix(line, "> "):
				commands[len(commands)-1].line += line[2:]
			default:
				commands[len(commands)-1].output += line
			}
		}
	}
	return commands
}

func TestTheReadmeIsTrue(t *testing.T) { consoleIsTrue(t, "README.md", 15) }

func TestTheSQLPageIsTrue(t *testing.T) { consoleIsTrue(t, "docs/sql.md", 12) }

func TestTheFiltersPageIsTrue(t *testing.T) { consoleIsTrue(t, "docs/filters.md", 20) }

func TestTheEventsPageIsTrue(t *testing.T)  { consoleIsTrue(t, "docs/events.md", 20) }
func TestTheReportsPageIsTrue(t *testing.T) { consoleIsTrue(t, "docs/reports.md", 14) }

// consoleIsTrue runs a page's commands in order, in one shell, beside a new `dev`:
// they print what the page says; "…" stands for what is made anew each time.
func consoleIsTrue(t *testing.T, page string, least int) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../..", page))
	if err != nil {
		t.Fatal(err)
	}
	commands := consoleOf(t, string(text))
	if len(commands) < least {
		t.Fatalf("%d commands in %s", len(commands), page)
	}
	home := t.TempDir()
	d := startDev(t, filepath.Join(home, "leadevents-data"))
	if err := os.Symlink(storetest.Programs(t), filepath.Join(home, "bin")); err != nil {
		t.Fatal(err)
	}
	url := d.now().URL
	var script strings.Builder
	script.WriteString("set -u\n")
	const mark = "---- the next command ----"
	for _, c := range commands {
		// Only the address differs from what a reader types.
		script.WriteString(strings.ReplaceAll(c.line, "http://127.0.0.1:8080", url))
		script.WriteString("echo '" + mark + "'\n")
	}
	shell := exec.Command("bash")
	shell.Dir = home
	library, err := embedded.FindLibrary("")
	if err != nil {
		t.Fatal(err)
	}
	// The terminal of a reader, whose charts the pages show.
	shell.Env = append(os.Environ(), embedded.LibraryVariable+"="+library, "LC_ALL=C.UTF-8", "COLUMNS=80")
	shell.Stdin = strings.NewReader(script.String())
	var problems strings.Builder
	shell.Stderr = &problems
	out, err := shell.Output()
	_, _ = storetest.Output("what commands say in " + page).Write([]byte(problems.String()))
	if err != nil {
		t.Fatalf("%v\n%s", err, problems.String())
	}
	printed := strings.Split(string(out), mark+"\n")
	if len(printed) != len(commands)+1 {
		t.Fatalf("%d of %d commands were run\n%s\n%s", len(printed)-1, len(commands), out, problems.String())
	}
	for i, c := range commands {
		pattern := strings.ReplaceAll(regexp.QuoteMeta(c.output), "…", "[^\n]+?")
		lines := strings.ReplaceAll(printed[i], "\r\n", "\n") // CSV's, which no page can show
		if !regexp.MustCompile(`\A` + pattern + `\z`).MatchString(lines) {
			t.Errorf("%s\nprinted\n%s\n%s says\n%s", c.line, lines, page, c.output)
		}
	}
	if t.Failed() {
		t.Logf("on standard error:\n%s", problems.String())
	}
}

// What the README says of tests and files exists.
func TestTheReadmeNamesWhatExists(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile("../../ingest/ledger/doc.go")
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]bool{}
	for _, pattern := range []string{"../../*_test.go", "../../*/*_test.go", "../../*/*/*_test.go", "../../*/*/*/*_test.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, found := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllStringSubmatch(string(source), -1) {
				tests[found[1]] = true
			}
		}
	}
	named := 0
	for _, found := range regexp.MustCompile(`\bTest[A-Z]\w+`).FindAllString(string(text)+string(doc), -1) {
		if named++; found != "TestFault" && !tests[found] {
			t.Errorf("there is no test %s", found)
		}
	}
	if named < 25 {
		t.Errorf("only %d tests are named", named)
	}
	for _, found := range regexp.MustCompile(`\]\(([^)#:]+)\)`).FindAllStringSubmatch(string(text), -1) {
		if _, err := os.Stat(filepath.Join("../..", found[1])); err != nil {
			t.Errorf("README.md links to %s: %v", found[1], err)
		}
	}
}
