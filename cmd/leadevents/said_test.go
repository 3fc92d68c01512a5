package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"leadevents/internal/storetest"
)

// saidVariable names a folder into which the commands of scripts copy what they say.
const saidVariable = "STORETEST_SAID"

// saying is run, and copies what it says: standard error, and standard output but
// where a secret is asked for, which is what creations print.
func saying(args []string) (code int) {
	dir := os.Getenv(saidVariable)
	if dir == "" {
		return run(args)
	}
	said, err := os.CreateTemp(dir, "*")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return exitFailed
	}
	defer said.Close()
	defer copied(&os.Stderr, said)()
	if !slices.Contains(args, "create") {
		defer copied(&os.Stdout, said)()
	}
	return run(args)
}

// copied has what is written to a stream written to a file too, until end.
func copied(stream **os.File, file *os.File) (end func()) {
	r, w, err := os.Pipe()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return func() {}
	}
	original, done := *stream, make(chan struct{})
	*stream = w
	go func() {
		defer close(done)
		_, _ = io.Copy(io.MultiWriter(original, file), r)
	}()
	return func() {
		_ = w.Close()
		<-done
		_ = r.Close()
		*stream = original
	}
}

// said has secrets looked for in what the commands of a script have said. There must be
// something: of nothing it would prove nothing.
func said(t *testing.T, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) == 0 {
		t.Errorf("the commands have said nothing: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Error(err)
		}
		_, _ = storetest.Output("what commands say in " + t.Name()).Write(text)
	}
}
