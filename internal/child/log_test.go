package child_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"leadevents/internal/child"
)

func sizes(t *testing.T, dir, pattern string) (files int, total int64) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		total += info.Size()
	}
	return len(paths), total
}

func TestALogIsBounded(t *testing.T) {
	for _, test := range []struct {
		name  string
		keep  int
		files int
	}{{"with two older files", 2, 3}, {"with none", 0, 1}} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			log, err := child.OpenLog(filepath.Join(dir, "x.log"), 100, test.keep)
			if err != nil {
				t.Fatal(err)
			}
			for i := range 200 {
				fmt.Fprintf(log, "line %d\n", i)
			}
			if _, err := log.Write([]byte(strings.Repeat("y", 5000))); err != nil {
				t.Error(err)
			}
			if _, err := log.Write([]byte("end\n")); err != nil {
				t.Error(err)
			}
			if files, total := sizes(t, dir, "x.log*"); files != test.files || total > int64(100*test.files) {
				t.Errorf("%d files of %d bytes, want %d of at most 100 each", files, total, test.files)
			}
			if current, err := os.ReadFile(filepath.Join(dir, "x.log")); err != nil || string(current) != "end\n" {
				t.Errorf("the current file is %q (%v)", current, err)
			}
			if err := log.Close(); err != nil {
				t.Error(err)
			}
			fmt.Fprintln(log, "after the end")
			if current, _ := os.ReadFile(filepath.Join(dir, "x.log")); string(current) != "end\n" {
				t.Errorf("a closed log was written to: %q", current)
			}
		})
	}
}

func TestALogIsContinuedByTheNextRun(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.log")
	for range 30 {
		log, err := child.OpenLog(path, 100, 1)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(log, "0123456789")
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if files, total := sizes(t, filepath.Dir(path), "x.log*"); files != 2 || total > 200 {
		t.Errorf("%d files of %d bytes after 30 runs, want 2 of at most 200 together", files, total)
	}
}

func TestAChildsLogIsBounded(t *testing.T) {
	folder := open(t)
	cfg := config(folder, "chatty") // half a megabyte before it is ready
	cfg.LogMaxBytes, cfg.LogKeep = 10_000, 1
	process := start(t, cfg)
	if err := process.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if files, total := sizes(t, folder.Path(), "pet.log*"); files != 2 || total > 20_000 {
		t.Errorf("%d files of %d bytes, want 2 of at most 20,000 together", files, total)
	}
}

func TestTheTailLeavesOutAddresses(t *testing.T) {
	log, err := child.OpenLog(filepath.Join(t.TempDir(), "x.log"), 10_000, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	fmt.Fprint(log, "Code: 210. Address already in use\n\n0. ? @ 0x000000001c8fa4b3\n1. ? @ 0x1\n (version 26.7)\n")
	if got, want := log.Tail(), "Code: 210. Address already in use\n(version 26.7)"; got != want {
		t.Errorf("tail %q, want %q", got, want)
	}
}
