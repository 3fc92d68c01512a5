package backfill

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestOtherFilesAndSettingsAreRefused(t *testing.T) {
	f := newFakeServer(t, 0)
	cfg := small(t.TempDir(), 1_000, mixed(1), clientOf{f.URL})
	first := mustRun(t, cfg)
	for _, c := range []struct {
		name   string
		change func(*Config)
		says   string
	}{
		{"another region", func(c *Config) { c.Mapping.Region = "DE" }, `--region was "", now it is "DE"`},
		{"another type", func(c *Config) { c.Mapping.FixedType = "x" }, `--event-type was "", now it is "x"`},
		{"another organization", func(c *Config) { c.Organization = 8 }, "the run is of organization 7, the credential of 8"},
		{"another run", func(c *Config) { c.Run = "abcdefghijkl" }, "--run asks for abcdefghijkl"},
	} {
		changed := cfg
		c.change(&changed)
		if _, err := New(changed); !errors.Is(err, ErrChanged) || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "--restart") {
			t.Errorf("%s: %v", c.name, err)
		}
		changed.Restart = true
		if r, err := New(changed); err != nil || r.Done() || r.Run() == first.Run() {
			t.Errorf("%s with --restart: %v", c.name, err)
		}
	}
	cfg.Again = true
	again := mustRun(t, cfg)
	if c := again.Progress().Counts; c.Inserted != 0 || c.Duplicates != first.Progress().Counts.Inserted+first.Progress().Counts.Duplicates {
		t.Errorf("all again: %+v", c)
	}
	if err := os.WriteFile(cfg.StatePath, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), "is not the checkpoint of a backfill") {
		t.Errorf("a broken checkpoint: %v", err)
	}
	if _, err := os.Stat(cfg.RejectsPath); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(cfg.StatePath); err != nil {
		t.Fatal(err)
	}
	cfg.Again = false
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Go(t.Context()); err == nil || !strings.Contains(err.Error(), "has rejected rows of another run") {
		t.Errorf("rejects without their checkpoint are overwritten: %v", err)
	}
}

// A file that has changed since the run was begun is refused, with its name and what is another: it would be
// cut into other calls under keys that were used.
func TestAFileThatChangedBetweenTwoRunsIsRefused(t *testing.T) {
	f := newFakeServer(t, 0)
	row := func(i int) string {
		return fmt.Sprintf("+1555%07d,2026-05-12T18:34:00Z,%s\n", i, strings.Repeat("x", 400))
	}
	var text strings.Builder
	text.WriteString("phone,date,note\n")
	for i := range 4_000 { // more than the first MiB
		text.WriteString(row(i))
	}
	whole := text.String()
	end := len(whole) - len(row(0))
	dir := t.TempDir()
	path := filepath.Join(dir, "history.csv")
	begun := time.Now().Add(-time.Hour)
	put := func(text string, at time.Time) Config {
		t.Helper()
		if err := errors.Join(os.WriteFile(path, []byte(text), 0o600), os.Chtimes(path, at, at)); err != nil {
			t.Fatal(err)
		}
		cfg := small(dir, 0, nil, clientOf{f.URL})
		cfg.Open, cfg.Files, cfg.Mapping = Open, findAll(t, path), typed
		return cfg
	}
	if c := mustRun(t, put(whole, begun)).Progress().Counts; c.Inserted != 4_000 {
		t.Fatalf("%+v", c)
	}
	for _, c := range []struct {
		name, text string
		at         time.Time
		says       string // "": it goes on
	}{
		{"untouched", whole, begun, ""},
		{"a row more", whole + row(5_000), begun, fmt.Sprintf("it had %d bytes, it has %d", len(whole), len(whole)+len(row(0)))},
		{"cut off", whole[:end], begun, fmt.Sprintf("it had %d bytes, it has %d", len(whole), end)},
		{"another first row", strings.Replace(whole, "+15550000000", "+16660000000", 1), begun, "its first MiB is another"},
		{"another last row", whole[:end] + row(9), time.Now(), "was changed at"},
	} {
		_, err := New(put(c.text, c.at))
		if c.says == "" {
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		if !errors.Is(err, ErrChanged) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "--restart") {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// Each setting that decides what is sent is one that the checkpoint knows.
func TestACheckpointKnowsTheWholeMapping(t *testing.T) {
	full := Mapping{Typed: true, NoMetadata: true, TimeZone: time.UTC, Metadata: []string{"plan"}}
	fields := reflect.ValueOf(&full).Elem()
	for i := range fields.NumField() {
		if f := fields.Field(i); f.Kind() == reflect.String {
			f.SetString("x")
		}
		if fields.Field(i).IsZero() {
			t.Fatalf("the test leaves out %s", fields.Type().Field(i).Name)
		}
	}
	if got := describe(full); len(got) != fields.NumField() {
		t.Errorf("of %d settings %d are known: %v", fields.NumField(), len(got), got)
	}
}

func TestTwoRunsOfOneFileAreKeptApart(t *testing.T) {
	f := newFakeServer(t, 0)
	cfg := small(t.TempDir(), 1_000, mixed(1), clientOf{f.URL})
	held, err := openRejects(cfg.RejectsPath, 0, true)
	if err != nil {
		t.Fatal(err)
	}
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Go(t.Context()); err == nil || !strings.Contains(err.Error(), "does another backfill of this file run?") {
		t.Errorf("a second run: %v", err)
	}
	if err := held.close(); err != nil {
		t.Fatal(err)
	}
	if err := r.Go(t.Context()); err != nil {
		t.Error(err)
	}
}
