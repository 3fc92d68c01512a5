package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"leadevents"
)

// runSQL runs the command against a server that answers as the test says, and returns
// the body that it was sent.
func runSQL(t *testing.T, in string, answer http.HandlerFunc, args ...string) (sent map[string]any, query, stdout string, err error) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		query = r.URL.RawQuery
		if err := json.Unmarshal(text, &sent); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		answer(w, r)
	}))
	defer server.Close()
	root := newRoot()
	var out bytes.Buffer
	root.SetIn(strings.NewReader(in))
	root.SetOut(&out)
	root.SetErr(io.Discard)
	root.SetArgs(append([]string{"sql", "--url", server.URL, "--key", "k"}, args...))
	err = root.ExecuteContext(t.Context())
	return sent, query, out.String(), err
}

func answering(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }
}

func TestStatementsComeFromThreePlaces(t *testing.T) {
	file := filepath.Join(t.TempDir(), "q.sql")
	if err := os.WriteFile(file, []byte("SELECT 1"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{"an argument": {"SELECT 1"}, "a file": {"--file", file}, "standard input": nil} {
		sent, query, out, err := runSQL(t, "SELECT 1", answering("1\n"), append(args, "--param", "a=x", "--param", "b=[1,\"y\"]", "--param", "c==")...)
		if want := `map[params:map[a:x b:[1 y] c:=] query:SELECT 1]`; err != nil || fmt.Sprint(sent) != want || query != "format=csv" || out != "1\n" {
			t.Errorf("%s: sent %v?%s, printed %q, %v", name, sent, query, out, err)
		}
	}
}

func TestWrongCommandLinesOfSQL(t *testing.T) {
	for _, args := range [][]string{{"SELECT 1", "x"}, {"SELECT 1", "--format", "xml"}, {"SELECT 1", "--file", "x"}, {"--file", "/no/such/file"}, {"SELECT 1", "--param", "x"}, {"SELECT 1", "--param", "a=[1"}} {
		if _, _, _, err := runSQL(t, "", answering(""), args...); exitCode(err) != exitUsage {
			t.Errorf("%q: %v", args, err)
		}
	}
}

func TestTablesArePrinted(t *testing.T) {
	_, query, out, err := runSQL(t, "", answering("\"name\",\"n\"\n\"a\",1\n\"b\nc\u001b\",\\N\n\"longer\",23.5\n"), "SELECT 1", "--format", "table")
	want := "name       n\na          1\nb�c�    NULL\nlonger  23.5\n(3 rows)\n"
	if err != nil || query != "format=csv" || out != want {
		t.Errorf("%v, ?%s\n%s\nwant\n%s", err, query, out, want)
	}
	if _, _, out, err = runSQL(t, "", answering("\"n\"\n1\n"), "SELECT 1", "--format", "table"); err != nil || out != "n\n1\n(1 row)\n" {
		t.Errorf("%v, %q", err, out)
	}
	var many strings.Builder
	many.WriteString("n\n")
	for i := range 3 * columnRows {
		fmt.Fprintln(&many, i)
	}
	_, _, out, err = runSQL(t, "", answering(many.String()), "SELECT 1", "--format", "table")
	if err != nil || !strings.HasSuffix(out, "\n2999\n(3000 rows)\n") {
		t.Errorf("%v, %.100s", err, out[max(0, len(out)-100):])
	}
}

// A part of an answer is not taken for the whole.
func TestAnAnswerOfSQLThatIsCutOffIsAnError(t *testing.T) {
	for _, format := range []string{"csv", "table", "parquet"} {
		_, _, _, err := runSQL(t, "", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "a\n1\n")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}, "SELECT 1", "--format", format)
		if exitCode(err) != exitFailed || !strings.Contains(fmt.Sprint(err), "not complete") {
			t.Errorf("%s: %v", format, err)
		}
	}
	_, _, _, err := runSQL(t, "", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"error":{"code":"invalid_query","message":"no"}}`)
	}, "SELECT 1")
	if leadevents.KindOf(err) != leadevents.InvalidQuery || exitCode(err) != exitFailed {
		t.Errorf("a refusal: %v", err)
	}
}

func TestStatementsEndWithASemicolon(t *testing.T) {
	for text, want := range map[string]bool{
		"SELECT 1": false, "SELECT 1;": true, "SELECT 1 ; \t": true, "SELECT 1; -- one": true, "SELECT ';'": false, "SELECT 1 -- ;": true, ";": true, "SELECT 1; -- one\nFROM": false, "": false,
	} {
		if got := ended(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
	for line, want := range map[string]string{"  Exit ;": "exit", `\q`: `\q`, "SHOW  TABLES;": "show tables", "": ""} {
		if got := order(line); got != want {
			t.Errorf("%q: %q", line, got)
		}
	}
}

// What is no terminal is no person, also where it is a device.
func TestNullIsNoTerminal(t *testing.T) {
	// Under another name, as a shell's redirection gives it.
	null, err := syscall.Open(os.DevNull, syscall.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	stream := os.NewFile(uintptr(null), "/dev/stdin")
	defer stream.Close()
	if isTerminal(stream) {
		t.Error("the null device is a terminal")
	}
}

func TestCompletion(t *testing.T) {
	words := []string{"SELECT", "event_type", "JSONExtractFloat(metadata, 'amountUsd')", "'purchase'"}
	for text, want := range map[string][]string{
		"sel": {"SELECT"}, "SELECT ev": {"event_type"}, "SELECT json": {words[2]}, "WHERE event_type = 'pu": {"'purchase'"}, "SELECT ": nil, "": nil, "xyz": nil,
	} {
		head, got, tail := complete(words, text, len([]rune(text)))
		if !slices.Equal(got, want) || !strings.HasPrefix(text, head) || tail != "" {
			t.Errorf("%q: %q %q %q", text, head, got, tail)
		}
	}
	if head, got, tail := complete(words, "é ev, 1", 4); head != "é " || len(got) != 1 || tail != ", 1" {
		t.Errorf("%q %q %q", head, got, tail)
	}
}
