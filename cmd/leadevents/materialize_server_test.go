package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// script is a server that answers as leadevents does, but as the test says. What the
// real one answers is tested beside it, in TestMaterializeFromAShell.
type script struct {
	url     string
	mu      sync.Mutex
	asked   []string // method and path; ids that were made are ID
	upload  string
	answers map[string]func(w http.ResponseWriter)
}

// serve starts one that does everything at once, but for what answers says.
func serve(t *testing.T, answers map[string]func(w http.ResponseWriter)) *script {
	t.Helper()
	s := &script{answers: answers}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // cut off by the test
		}
		asked := r.Method + " " + r.URL.Path
		if parts := strings.Split(asked, "/"); parts[3] == "audiences" {
			parts[4] = "ID"
			asked = strings.Join(parts, "/")
		}
		s.mu.Lock()
		s.asked = append(s.asked, asked)
		if asked == "PUT /api/v1/audiences/ID/leads" {
			s.upload = string(body)
		}
		s.mu.Unlock()
		if answer := s.answers[asked]; answer != nil {
			answer(w)
			return
		}
		switch asked {
		case "GET /api/v1/sends/s/leads":
			_, _ = io.WriteString(w, "phoneE164,externalId\r\n")
		default:
			_, _ = io.WriteString(w, `{"status":"materialized"}`)
		}
	}))
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

// was tells whether it was asked that.
func (s *script) was(asked string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.asked {
		if a == asked {
			n++
		}
	}
	return n
}

// materialize runs the command against it, in this process.
func (s *script) materialize(ctx context.Context, in string, args ...string) (stdout, stderr string, err error) {
	root := newRoot()
	var out, problems bytes.Buffer
	root.SetIn(strings.NewReader(in))
	root.SetOut(&out)
	root.SetErr(&problems)
	root.SetArgs(append([]string{"materialize", "--url", s.url, "--key", "k", "--send-id", "s"}, args...))
	err = root.ExecuteContext(ctx)
	return out.String(), problems.String(), err
}

func refuses(status int, code, message string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, `{"error":{"code":%q,"message":%q}}`, code, message)
	}
}

// The work is done when the leads are asked for, and nothing of them is printed yet.
func TestLeadsThatCannotBeReadNowAreAskedForAgain(t *testing.T) {
	busy := 1
	s := serve(t, map[string]func(http.ResponseWriter){"GET /api/v1/sends/s/leads": func(w http.ResponseWriter) {
		if busy--; busy == 0 {
			refuses(http.StatusServiceUnavailable, "unavailable", "4 results are being read already")(w)
			return
		}
		_, _ = io.WriteString(w, "phoneE164,externalId\r\n+15551234567,\r\n")
	}})
	out, problems, err := s.materialize(t.Context(), "", "--all-leads")
	if err != nil || out != "phoneE164,externalId\r\n+15551234567,\r\n" || strings.Count(problems, "4 results are being read already\nIt is asked again for 2m0s") != 1 {
		t.Errorf("%q, %v\n%s", out, err, problems)
	}
}

func TestAByteOrderMarkIsNoPartOfTheFirstLead(t *testing.T) {
	for in, want := range map[string]string{
		"\uFEFF+15551234567\n":                   "phoneE164\n\"+15551234567\"\n",
		"\uFEFF\r\n+15551234567":                 "phoneE164\n\"+15551234567\"\n",
		"\uFEFFphone\n+15551234567\n":            "phone\n+15551234567\n",
		"\uFEFF{\"phoneE164\":\"+15551234567\"}": "{\"phoneE164\":\"+15551234567\"}",
		"\uFEFF":                                 "phoneE164\n",
		"1":                                      "phoneE164\n\"1\"\n",
	} {
		s := serve(t, nil)
		if _, problems, err := s.materialize(t.Context(), in); err != nil || s.upload != want {
			t.Errorf("%q is uploaded as %q, want %q: %v\n%s", in, s.upload, want, err, problems)
		}
	}
}

// In a script that is an unset variable: without --audience it would be the leads of
// standard input, without --filters a message to everybody.
func TestAnEmptyFlagIsNotAnAbsentOne(t *testing.T) {
	for _, flag := range []string{"audience", "event-type", "filters", "fire-at", "send-id", "campaign-id", "include", "exclude"} {
		s := serve(t, nil)
		out, _, err := s.materialize(t.Context(), "", "--"+flag, "")
		if exitCode(err) != exitUsage || err == nil || !strings.Contains(err.Error(), "empty") || len(s.asked) > 0 || out != "" {
			t.Errorf("--%s with nothing: %v, asked %q, printed %q", flag, err, s.asked, out)
		}
	}
}

// A send that goes on on the server needs its audience; one that is through, or never
// was begun, does not.
func TestAnUploadedAudienceStaysWhileItsSendNeedsIt(t *testing.T) {
	const begin, look, remove = "POST /api/v1/sends/s/materialize", "GET /api/v1/sends/s", "DELETE /api/v1/audiences/ID"
	ctx, interrupt := context.WithCancel(t.Context())
	for name, c := range map[string]struct {
		asked  string
		answer func(http.ResponseWriter)
		stays  bool
		says   string
	}{
		"materialized":           {look, func(w http.ResponseWriter) { _, _ = io.WriteString(w, `{"status":"materialized"}`) }, false, ""},
		"failed":                 {look, func(w http.ResponseWriter) { _, _ = io.WriteString(w, `{"status":"failed","error":"x"}`) }, false, "send s has failed: x"},
		"refused":                {begin, refuses(http.StatusConflict, "conflict", "no"), false, "no"},
		"interrupted":            {look, func(w http.ResponseWriter) { interrupt(); _, _ = io.WriteString(w, `{"status":"materializing"}`) }, true, "send s goes on on the server"},
		"it is not known":        {begin, refuses(http.StatusInternalServerError, "internal", "oh"), true, "send s may go on on the server: oh"},
		"no answer to a look":    {look, func(http.ResponseWriter) { panic(http.ErrAbortHandler) }, true, "send s goes on on the server"},
		"the upload was refused": {"PUT /api/v1/audiences/ID/leads", refuses(http.StatusConflict, "conflict", "no"), false, "no"},
	} {
		s := serve(t, map[string]func(http.ResponseWriter){c.asked: c.answer})
		run := t.Context()
		if name == "interrupted" {
			run = ctx
		}
		_, problems, err := s.materialize(run, "+15551234567\n")
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
		if stays := s.was(remove) == 0; stays != c.stays || stays != strings.Contains(problems, "DELETE /api/v1/audiences/materialize-") {
			t.Errorf("%s: the audience stays: %t, want %t\n%s", name, stays, c.stays, problems)
		}
	}
}
