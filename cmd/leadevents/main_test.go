package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/mattn/go-runewidth"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"

	"leadevents/clickhouse/embedded"
	"leadevents/configs"
	"leadevents/internal/storetest"
)

func TestMain(m *testing.M) {
	embedded.Main() // scripts run `dev`, which starts this binary as its engine
	testscript.Main(withStores{m}, map[string]func(){
		"leadevents": func() { os.Exit(saying(os.Args[1:])) },
	})
}

// withStores stops the stores that tests have used.
type withStores struct{ m *testing.M }

func (w withStores) Run() int { return storetest.Run(w.m) }

// The scripts are the command line's contract: what each command line prints,
// where, and with which exit code.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits,
		},
	})
}

// exits runs a command and holds it to an exit code: exits 2 leadevents bogus.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND [ARGUMENT...]")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	var exit interface{ ExitCode() int }
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if fmt.Sprint(code) != args[0] {
		ts.Fatalf("%q exits with %d, want %s", args[1:], code, args[0])
	}
}

func TestExitCodes(t *testing.T) {
	root := newRoot()
	_, faults := configs.Load(configs.Options{Flags: map[string]string{"bogus": "1"}})
	for _, c := range []struct {
		claim string
		err   error
		want  int
	}{
		{"done", nil, 0},
		{"failed", errors.New("x"), 1},
		{"usage", usagef(root, "x"), 2},
		{"usage, wrapped", fmt.Errorf("x: %w", usagef(root, "y")), 2},
		{"wrong settings", faults, 2},
		{"done, some rows rejected", &rejectedError{rows: 3}, 3},
		{"a failure beside rejected rows is a failure to report", errors.Join(&rejectedError{rows: 3}, usagef(root, "x")), 2},
	} {
		if got := exitCode(c.err); got != c.want {
			t.Errorf("%s: %v exits with %d, want %d", c.claim, c.err, got, c.want)
		}
	}
}

// Every command says what it does, in one line that a list can show.
func TestEveryCommandHasHelp(t *testing.T) {
	for _, cmd := range newRoot().Commands() {
		if cmd.Hidden || cmd.Name() == "help" {
			continue
		}
		if cmd.GroupID == "" {
			t.Errorf("%s is in no group", cmd.Name())
		}
		hasHelp(t, cmd)
		for _, below := range cmd.Commands() {
			hasHelp(t, below)
		}
	}
}

func hasHelp(t *testing.T, cmd *cobra.Command) {
	t.Helper()
	var help bytes.Buffer
	cmd.SetOut(&help)
	printHelp(cmd, nil)
	for _, line := range strings.Split(help.String(), "\n") {
		if n := runewidth.StringWidth(line); n > 80 && !strings.HasPrefix(line, "  leadevents ") { // which is pasted
			t.Errorf("%s: a line of its help is %d columns wide: %s", cmd.CommandPath(), n, line)
		}
	}
	if cmd.Short == "" || (cmd.Long == "" && cmd.Name() != "version") {
		t.Errorf("%s: short help %q, long help %q", cmd.CommandPath(), cmd.Short, cmd.Long)
	}
}
