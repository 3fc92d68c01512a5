package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// fakeRuns is a server with one run, which is undone a batch a look.
type fakeRuns struct {
	state         string
	undone, asked int
	force         string
}

func (f *fakeRuns) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/api/v1/runs/abcdefghijkl" {
		w.WriteHeader(http.StatusNotFound)
		_, _ = fmt.Fprint(w, `{"error":{"code":"not_found","message":"there is no such run"}}`)
		return
	}
	switch r.Method {
	case http.MethodDelete:
		f.asked++
		if f.force = r.URL.Query().Get("force"); f.force == "" && f.state == "used" {
			w.WriteHeader(http.StatusConflict)
			_, _ = fmt.Fprint(w, `{"error":{"code":"conflict","message":"send s-1 has used its rows"}}`)
			return
		}
		f.state = "undoing"
		w.WriteHeader(http.StatusAccepted)
	case http.MethodGet:
		if f.state == "undoing" {
			if f.undone++; f.undone == 3 {
				f.state = "undone"
			}
		}
	}
	_, _ = fmt.Fprintf(w, `{"run":"abcdefghijkl","state":%q,"batches":3,"undoneBatches":%d,"received":10,"inserted":7,"duplicates":2,"rejected":1,"firstAt":"2026-01-01T00:00:00.000Z","lastAt":"2026-01-01T00:01:00.000Z"}`, f.state, f.undone)
}

func TestARunIsShownAndUndone(t *testing.T) {
	for _, c := range []struct {
		name  string
		state string
		args  []string
		code  int
		says  []string
		asked int
		force string
		after string
	}{
		{"its totals", "done", []string{"--status", "abcdefghijkl"}, 0, []string{"inserted        7", "state           done"}, 0, "", "done"},
		{"as JSON", "done", []string{"--status", "abcdefghijkl", "--json"}, 0, []string{`"inserted": 7`}, 0, "", "done"},
		{"nobody can be asked", "done", []string{"--undo", "abcdefghijkl"}, 2, []string{"--yes says that it is meant"}, 0, "", "done"},
		{"undone", "done", []string{"--undo", "abcdefghijkl", "--yes"}, 0, []string{"undoing: 2 of 3 batches", "state           undone"}, 1, "", "undone"},
		{"undone already", "undone", []string{"--undo", "abcdefghijkl"}, 0, []string{"state           undone"}, 0, "", "undone"},
		{"used", "used", []string{"--undo", "abcdefghijkl", "--yes"}, 1, []string{"send s-1 has used its rows", "--force"}, 1, "", "used"},
		{"used, forced", "used", []string{"--undo", "abcdefghijkl", "--yes", "--force"}, 0, []string{"state           undone"}, 1, "true", "undone"},
		{"unknown", "done", []string{"--undo", "zzzzzzzzzzzz", "--yes"}, 1, []string{"there is no such run"}, 0, "", "done"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &fakeRuns{state: c.state}
			server := httptest.NewServer(f)
			defer server.Close()
			var out bytes.Buffer
			root := newRoot()
			root.SetOut(&out)
			root.SetErr(&out)
			root.SetIn(strings.NewReader(""))
			root.SetArgs(append([]string{"backfill", "--url", server.URL, "--key", "k"}, c.args...))
			err := root.ExecuteContext(t.Context())
			said := out.String()
			if err != nil {
				said += err.Error()
			}
			if exitCode(err) != c.code || f.asked != c.asked || f.force != c.force || f.state != c.after {
				t.Errorf("exit code %d, asked %d times, force %q, the run is %s: %s", exitCode(err), f.asked, f.force, f.state, said)
			}
			for _, says := range c.says {
				if !strings.Contains(said, says) {
					t.Errorf("it does not say %q: %s", says, said)
				}
			}
		})
	}
}
