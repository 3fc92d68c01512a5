package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// report is what a benchmark prints: Markdown, on the terminal and in RESULTS.md.
type report struct {
	out      io.Writer
	text     bytes.Buffer
	versions []string // of the stores, "ClickHouse 26.7.3.1"
}

func (r *report) linef(format string, args ...any) {
	line := fmt.Sprintf(format+"\n", args...)
	r.text.WriteString(line)
	fmt.Fprint(r.out, line)
}

// table prints rows under a head; all columns but the first are numbers.
func (r *report) table(head []string, rows [][]string) {
	r.linef("")
	r.linef("| %s |", strings.Join(head, " | "))
	r.linef("|---%s|", strings.Repeat("|---:", len(head)-1))
	for _, row := range rows {
		r.linef("| %s |", strings.Join(row, " | "))
	}
	r.linef("")
}

// version notes a store's version, once.
func (r *report) version(name string) {
	for _, v := range r.versions {
		if v == name {
			return
		}
	}
	r.versions = append(r.versions, name)
}

// append adds the report to the file of the results, under the name of the
// benchmark, the moment, the machine, the versions and the commit.
func (r *report) append(file, name string) error {
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("open the results (run from the repository's root): %w", err)
	}
	_, err = fmt.Fprintf(f, "\n## %s, %s\n\n`%s` at commit %s; %s, stores on %s; %s, %s.\n%s",
		name, time.Now().UTC().Format("2006-01-02 15:04 UTC"), command(), commit(), machine(), disk(os.TempDir()),
		strings.Join(append([]string{runtime.Version()}, r.versions...), ", "), load(), strings.TrimRight(r.text.String(), "\n")+"\n")
	if err != nil {
		_ = f.Close()
		return fmt.Errorf("append to the results: %w", err)
	}
	return f.Close()
}

// command is how to run this again.
func command() string {
	var args []string
	for _, arg := range os.Args[1:] {
		if arg != "--record" {
			args = append(args, arg)
		}
	}
	if len(args) == 0 {
		return "make bench"
	}
	return `make bench BENCH="` + strings.Join(args, " ") + `"`
}

// commit is the commit of the working tree, with a plus if tracked files differ
// from it.
func commit() string {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	head, err := exec.CommandContext(ctx, "git", "rev-parse", "--short", "HEAD").Output()
	if err != nil {
		return "unknown"
	}
	text := strings.TrimSpace(string(head))
	if exec.CommandContext(ctx, "git", "diff", "--quiet", "HEAD", "--", "*.go", "*.lua", "*.sql", "go.mod").Run() != nil {
		text += "+"
	}
	return text
}

// machine is cores, memory and processor.
func machine() string {
	memory, model := "unknown memory", "unknown processor"
	if kib, err := strconv.Atoi(strings.TrimSuffix(field("/proc/meminfo", "MemTotal"), " kB")); err == nil {
		memory = fmt.Sprintf("%.0f GiB", float64(kib)/(1<<20))
	}
	if m := field("/proc/cpuinfo", "model name"); m != "" {
		model = m
	}
	return fmt.Sprintf("%d cores (%s), %s, %s/%s", runtime.NumCPU(), model, memory, runtime.GOOS, runtime.GOARCH)
}

// disk is the file system of a folder. An ext4 without a journal is called so, for it looks
// through all files that were deleted within the last minute before it makes one: merges,
// which delete parts, then make inserts slow (README.md).
func disk(folder string) string {
	text, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return "an unknown file system"
	}
	var at, device, kind string
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 3 || !inside(folder, fields[1]) || len(fields[1]) < len(at) {
			continue
		}
		device, at, kind = fields[0], fields[1], fields[2]
	}
	if kind == "ext4" {
		journals, err := filepath.Glob("/proc/fs/jbd2/" + filepath.Base(device) + "-*")
		if err == nil && len(journals) == 0 {
			return "ext4 without a journal"
		}
	}
	return kind
}

// inside says whether a path is a folder or in it.
func inside(path, folder string) bool {
	rel, err := filepath.Rel(folder, path)
	return err == nil && filepath.IsLocal(rel)
}

// load says what else kept the machine busy, ourselves included.
func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if fields := strings.Fields(string(text)); err == nil && len(fields) > 2 {
		return "load average of the 15 minutes before the end " + fields[2]
	}
	return "load average unknown"
}

// field is the value of the first "name : value" line of a file of /proc.
func field(file, name string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
