package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"leadevents/internal/storetest"
)

// program runs the binary with an input, and gives what it prints and its exit
// code.
func program(t *testing.T, in string, env []string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(storetest.Programs(t), "leadevents"), args...)
	var out, problems bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(in), &out, &problems
	cmd.Env = append(os.Environ(), env...)
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return out.String(), problems.String(), exit.ExitCode()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.String(), problems.String(), 0
}

// api asks dev's server as organization 1.
func (d *devProcess) api(method, path, body string) (int, string) {
	d.t.Helper()
	now := d.now()
	request, err := http.NewRequestWithContext(d.t.Context(), method, now.URL+path, strings.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+now.APIKey)
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err.Error()
	}
	return response.StatusCode, string(text)
}

func TestMaterializeFromAShell(t *testing.T) {
	d := startDev(t, filepath.Join(t.TempDir(), "data"))
	d.wants(oneEvent(1), counts{1, 1, 0, 0})
	now := d.now()
	file := filepath.Join(t.TempDir(), "filters.json")
	if err := os.WriteFile(file, []byte(`[{"mode":"include","eventType":"signup","minCount":2}]`), 0o600); err != nil {
		t.Fatal(err)
	}
	byFolder := []string{"--data-dir", d.dir}
	const header = "phoneE164,externalId\r\n"
	for _, c := range []struct {
		name, in string
		args     []string
		env      []string
		code     int
		out, err string
	}{
		{"a list, one a duplicate, blank lines", "+15550000001\n\n1 (555) 000-0002\r\n+15550000002", append(byFolder, "--exclude", "signup"), nil, 0, header + "+15550000002,\r\n", "3 rows read: 2 leads, 1 duplicates, 0 rejected"},
		{"a list with a bad line", "+15550000001\n\"12\"\n", append(byFolder, "--include", "signup"), nil, 3, header + "+15550000001,\r\n", "row 2: invalid phoneE164"},
		{"CSV", "name,externalId,Phone\na,crm-1,+15550000001\nb,crm-2,+15550000002\n", append(byFolder, "--include", "signup"), nil, 0, header + "+15550000001,crm-1\r\n", "1 kept"},
		{"NDJSON, printed as NDJSON", `{"phoneE164":"+15550000002","externalId":"x"}`, append(byFolder, "--format", "ndjson"), nil, 0, `{"phoneE164":"+15550000002","externalId":"x"}` + "\n" + `{"end":true,"leads":1}` + "\n", "1 kept"},
		{"nothing", "", append(byFolder, "--exclude", "signup"), nil, 0, header, "0 kept"},
		{"all leads, by URL and key", "", []string{"--all-leads"}, []string{urlEnv + "=" + now.URL, keyEnv + "=" + now.APIKey}, 0, header + "+15550000001,\r\n", "1 leads, 1 kept"},
		{"an event type, in a window that is over", "", append(byFolder, "--event-type", "signup", "--include", "signup:2h", "--fire-at", "2026-05-13T00:00:00Z"), nil, 0, header, "0 kept"},
		{"filters of a file", "", append(byFolder, "--all-leads", "--filters", file), nil, 0, header, `1 dropped by {"mode":"include","eventType":"signup","minCount":2}`},
		{"two sources", "", append(byFolder, "--all-leads", "--audience", "a"), nil, 2, "", "one of them"},
		{"an unknown format", "", append(byFolder, "--all-leads", "--format", "xml"), nil, 2, "", "csv, ndjson or parquet"},
		{"a bad window", "", append(byFolder, "--all-leads", "--include", "signup:0m"), nil, 2, "", "minutes"},
		{"a window that is none", "", append(byFolder, "--all-leads", "--exclude", "signup:-5m"), nil, 2, "", `behind the last colon of "signup:-5m" a time is expected`},
		{"a window of nothing", "", append(byFolder, "--all-leads", "--exclude", "signup:"), nil, 2, "", "a time is expected"},
		{"a window of seconds", "", append(byFolder, "--all-leads", "--exclude", "signup:5s"), nil, 2, "", "a time is expected"},
		{"a bad file", "", append(byFolder, "--all-leads", "--filters", file+"x"), nil, 2, "", "no such file"},
		{"a bad fireAt", "", append(byFolder, "--all-leads", "--fire-at", "today"), nil, 2, "", "fireAt"},
		{"no key", "", []string{"--all-leads"}, nil, 2, "", "API key is missing"},
		{"an unknown key", "", []string{"--all-leads", "--url", now.URL, "--key", "le_x"}, nil, 1, "", "API key"},
		{"an unknown audience", "", append(byFolder, "--audience", "nobody"), nil, 1, "", "no audience"},
		{"no server", "", []string{"--all-leads", "--url", "http://127.0.0.1:1", "--key", "x"}, nil, 1, "", "refused"},
		{"broken CSV", "phone\n\"+1555\n", byFolder, nil, 2, "", "line 2: a quoted field does not end"},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, err, code := program(t, c.in, c.env, append([]string{"materialize"}, c.args...)...)
			if code != c.code || out != c.out || !strings.Contains(err, c.err) {
				t.Errorf("exit %d, want %d\n%q\nwant\n%q\nstandard error, want %q in:\n%s", code, c.code, out, c.out, c.err, err)
			}
		})
	}
	// What was uploaded is gone; what was decided stays.
	if status, text := d.api(http.MethodGet, "/api/v1/audiences", ""); status != http.StatusOK || !strings.Contains(text, `"audiences":[]`) {
		t.Errorf("audiences left: %d %s", status, text)
	}
}

// A send goes on when its server dies: SIGKILL while it is materialized, a new
// start, and there is exactly one result, complete.
func TestASendOutlivesItsServer(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	d := startDev(t, dir)
	// Enough that it takes a while: a million leads, filters that read metadata.
	const leads = 1_000_000
	d.query(fmt.Sprintf(`INSERT INTO lead_events (organization_id, event_type, phone, occurred_at, metadata, ingested_at, batch_id)
		SELECT 1, ['a', 'b', 'c'][1 + number %% 3], 15550000000 + intDiv(number, 3), toDateTime64('2026-05-12 18:34:00', 3, 'UTC'), '{"n":' || toString(number %% 100) || '}', now64(3), 1
		FROM numbers(%d)`, 3*leads))
	filter := func(eventType, op string, n int) string {
		return fmt.Sprintf(`{"mode":"include","eventType":%q,"where":[{"path":"n","op":%q,"value":%d}]}`, eventType, op, n)
	}
	definition := fmt.Sprintf(`{"audience":{"allLeads":true},"fireAt":"2026-05-12T19:00:00Z","eventFilters":[%s,%s,%s,%s]}`,
		filter("a", "lt", 90), filter("b", "gte", 10), filter("c", "lt", 95), filter("a", "ne", 3))
	if status, text := d.api(http.MethodPut, "/api/v1/sends/s", definition); status != http.StatusCreated {
		t.Fatalf("%d %s", status, text)
	}
	if status, text := d.api(http.MethodPost, "/api/v1/sends/s/materialize", ""); status != http.StatusAccepted || !strings.Contains(text, `"materializing"`) {
		t.Fatalf("%d %s", status, text)
	}
	d.eventually("the run has stored something", func() bool { return d.query("SELECT count() FROM send_evidence") != "0" })
	var send struct {
		Status      string
		Total, Kept uint64
		Dropped     struct{ EventFilters []uint64 }
		AsOf        string
	}
	_, text := d.api(http.MethodGet, "/api/v1/sends/s", "")
	if err := json.Unmarshal([]byte(text), &send); err != nil || send.Status != "materializing" {
		t.Fatalf("it was through before it could be killed: %s", text)
	}
	killed := send.AsOf
	d.signal(syscall.SIGKILL)
	<-d.ended

	d = startDev(t, dir)
	d.eventually("materialized", func() bool {
		_, text := d.api(http.MethodGet, "/api/v1/sends/s", "")
		if err := json.Unmarshal([]byte(text), &send); err != nil || send.Status == "failed" {
			t.Fatal(text)
		}
		return send.Status == "materialized"
	})
	sum := send.Kept
	for _, n := range send.Dropped.EventFilters {
		sum += n
	}
	want := d.query(`SELECT countIf(a < 90 AND b >= 10 AND c < 95 AND a != 3) FROM (
		SELECT phone, anyIf(n, event_type = 'a') AS a, anyIf(n, event_type = 'b') AS b, anyIf(n, event_type = 'c') AS c
		FROM (SELECT phone, event_type, JSONExtractUInt(metadata, 'n') AS n FROM lead_events) GROUP BY phone)`)
	if send.Total != leads || sum != leads || fmt.Sprint(send.Kept) != want || send.AsOf <= killed {
		t.Errorf("%+v after one as of %s; want %s kept", send, killed, want)
	}
	d.eventually("one run is left", func() bool { return d.query("SELECT uniqExact(run) FROM send_leads") == "1" })
	if got := d.query("SELECT countIf(kind = 'claimed'), countIf(kind = 'done') FROM sends FORMAT CSV"); got != "2,1" {
		t.Errorf("claims and results: %s", got)
	}
	_, ndjson := d.api(http.MethodGet, "/api/v1/sends/s/leads", "")
	if lines := strings.Count(ndjson, "\n"); fmt.Sprint(lines-1) != want || !strings.HasSuffix(ndjson, fmt.Sprintf("{\"end\":true,\"leads\":%s}\n", want)) {
		t.Errorf("%d lines, ending in %q", lines, ndjson[max(0, len(ndjson)-100):])
	}
}
