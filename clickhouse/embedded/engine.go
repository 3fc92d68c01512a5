package embedded

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// engineName is argv[0] of the child: a name, and not an environment variable,
// which the child's own children would inherit.
const engineName = "leadevents-engine"

// Main turns this process into the engine if it was started as one, and then
// never returns. Call it first in main, and in TestMain of tests that start
// the engine: before flags are read, before any goroutine is started.
func Main() {
	if filepath.Base(os.Args[0]) != engineName {
		return
	}
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "the engine is started by leadevents, not by hand")
		os.Exit(2)
	}
	args := os.Args[2:]
	if len(args) > 0 && strings.HasPrefix(args[0], relayFlag) {
		from, to, _ := strings.Cut(args[0][len(relayFlag):], ",")
		if err := relay(from, to); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		args = args[1:]
	}
	if err := runEngine(os.Args[1], args); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	// Not through C's exit handlers: the engine has shut its tables down when
	// its last statement ends, and its static destructors are not safe to run.
	os.Exit(0)
}
