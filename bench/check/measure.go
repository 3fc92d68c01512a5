package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	buildLimit = 10 * time.Minute // a cold cache on a busy machine
	runLimit   = 2 * time.Minute  // one process, under valgrind some seconds
)

// fewRuns is what both counted processes do beyond a path's runs. With one alone the
// testing package would set a benchmark up once, with more twice.
const fewRuns = 2

// allocationRuns are those that allocations are counted over; a benchmark warms itself
// up before.
const allocationRuns = 20

// measure runs the paths' benchmarks, root being the repository's.
func measure(ctx context.Context, root string, paths []path) (r record, err error) {
	if _, err := exec.LookPath("valgrind"); err != nil {
		return r, errors.New("valgrind, which counts instructions, is not installed: make valgrind")
	}
	dir, err := os.MkdirTemp("", "leadevents-check-")
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := build(ctx, root, dir, paths); err != nil {
		return r, err
	}
	r = newRecord()
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.NumCPU()) // counting, not timing: they may run beside each other
	for _, p := range paths {
		group.Go(func() error {
			c, err := p.measure(ctx, root, dir)
			mu.Lock()
			defer mu.Unlock()
			r.Paths[p.name()] = c
			return err
		})
	}
	return r, group.Wait()
}

// build compiles the tests of all packages, each once.
func build(ctx context.Context, root, dir string, paths []path) error {
	ctx, cancel := context.WithTimeout(ctx, buildLimit)
	defer cancel()
	args := []string{"test", "-c", "-ldflags=-s -w", "-o", dir + string(filepath.Separator)}
	for _, p := range paths {
		if !slices.Contains(args, p.pkg) {
			args = append(args, p.pkg)
		}
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the benchmarks: %w\n%s", err, out)
	}
	return nil
}

// binary is where build has put the tests of a path's package.
func (p path) binary(root, dir string) (string, error) {
	full, err := filepath.Abs(filepath.Join(root, p.pkg))
	if err != nil {
		return "", err
	}
	if p.pkg == "." {
		full = "leadevents" // the module's name, wherever it is checked out
	}
	return filepath.Join(dir, filepath.Base(full)+".test"), nil
}

func (p path) measure(ctx context.Context, root, dir string) (c cost, err error) {
	binary, err := p.binary(root, dir)
	if err != nil {
		return c, err
	}
	run := func(runs int, in ...string) (string, error) { return p.run(ctx, root, runs, append(in, binary)) }
	out, err := run(allocationRuns)
	if err != nil {
		return c, err
	}
	if c.Allocations, err = allocations(out); err != nil {
		return c, fmt.Errorf("%s: %w", p.name(), err)
	}
	var counted [2]int64
	for i, runs := range []int{fewRuns, fewRuns + p.runs} {
		out, err := run(runs, "valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null")
		if err != nil {
			return c, err
		}
		if counted[i], err = instructions(out); err != nil {
			return c, fmt.Errorf("%s: %w", p.name(), err)
		}
	}
	c.Instructions = (counted[1] - counted[0]) / int64(p.runs)
	return c, nil
}

// run runs the benchmark so many times and returns what was printed.
func (p path) run(ctx context.Context, root string, runs int, command []string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, runLimit)
	defer cancel()
	args := append(command[1:], "-test.run=^$", "-test.bench="+p.pattern(), "-test.benchmem",
		fmt.Sprintf("-test.benchtime=%dx", runs), "-test.count=1")
	cmd := exec.CommandContext(ctx, command[0], args...)
	cmd.Dir = filepath.Join(root, p.pkg)
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1", "GOGC=off", "GODEBUG=")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("run %s: %w\n%s", p.name(), errors.Join(err, ctx.Err()), &out)
	}
	return out.String(), nil
}

// pattern is the path's benchmark and no other.
func (p path) pattern() string {
	levels := strings.Split("Benchmark"+strings.ReplaceAll(p.benchmark, " ", "_"), "/")
	for i, level := range levels {
		levels[i] = "^" + regexp.QuoteMeta(level) + "$"
	}
	return strings.Join(levels, "/")
}

var (
	allocationsLine  = regexp.MustCompile(`(?m)^Benchmark.*\s(\d+) allocs/op`)
	instructionsLine = regexp.MustCompile(`(?m)I +refs: +([\d,]+)$`)
)

// allocations reads what a benchmark prints.
func allocations(out string) (int64, error) {
	all := allocationsLine.FindAllStringSubmatch(out, -1)
	if len(all) != 1 {
		return 0, fmt.Errorf("%d benchmarks ran, not one of that name:\n%s", len(all), out)
	}
	return strconv.ParseInt(all[0][1], 10, 64)
}

// instructions reads what cachegrind prints.
func instructions(out string) (int64, error) {
	found := instructionsLine.FindStringSubmatch(out)
	if found == nil {
		return 0, fmt.Errorf("valgrind has counted nothing:\n%s", out)
	}
	return strconv.ParseInt(strings.ReplaceAll(found[1], ",", ""), 10, 64)
}
