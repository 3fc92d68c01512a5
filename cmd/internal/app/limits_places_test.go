package app

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"leadevents"
)

// A body on its way holds a place in all servers; whoever waits for each answer is never
// refused, at whichever server he asks; a client that goes away gives its place back.
func TestBodiesInFlight(t *testing.T) {
	from, bases := limited(t, patient(t))
	from.limit(nextOrg, `{"bodiesInFlight":1,"requestsPerSecond":100000,"rowsPerSecond":100000}`)
	settled(t)
	event := string(manyEvents(nextOrg, "placed", 1))
	for i := range 40 {
		a, err := from.ask(bases[i%2], "POST", ingestPath, event, "second")
		if err != nil || a.status != http.StatusOK && a.status != http.StatusServiceUnavailable {
			t.Fatalf("call %d, each after the answer to the one before: %d %s, %v", i, a.status, a.body, err)
		}
	}
	if a := from.sendAgain("POST", ingestPath, []byte(event), sending{Credential: "second", Headers: map[string]string{"Expect": "100-continue"}}); a.status != http.StatusOK {
		t.Errorf("asked for its body: %d %s", a.status, a.body)
	}

	header := http.Header{}
	from.credentials["second"](header, nil)
	conn, err := net.Dial("tcp", strings.TrimPrefix(bases[0], "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\nContent-Length: 1000000\r\n\r\n{", ingestPath, header.Get("Authorization")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "its body is being read", func() bool {
		_, metrics := get(t, bases[0]+"/metrics")
		return !strings.Contains(metrics, "\nleadevents_http_body_memory_bytes 0\n")
	})
	ask := func() answered {
		a, err := from.ask(bases[1], "POST", ingestPath, event, "second")
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	if a := ask(); !a.refusedBy(t, leadevents.BodiesInFlight) {
		t.Errorf("a second body at once: %d %s", a.status, a.body)
	}
	if a, err := from.ask(bases[1], "GET", audiencesPath, "", "second"); err != nil || a.status == http.StatusTooManyRequests {
		t.Errorf("a request without a body: %d %s, %v", a.status, a.body, err)
	}
	if a, err := from.ask(bases[1], "POST", ingestPath, string(manyEvents(keyOrg, "placed", 1)), "apiKey"); err != nil || a.status == http.StatusTooManyRequests {
		t.Errorf("another organization: %d %s, %v", a.status, a.body, err)
	}
	_ = conn.Close()
	eventually(t, "the place is free when the client has gone", func() bool { return ask().status == http.StatusOK })
}

// A result that is read holds a place in all servers until its client has read it or
// has gone.
func TestConcurrentExports(t *testing.T) {
	from, bases := limited(t, patient(t))
	var csv strings.Builder
	csv.WriteString("phone,externalId\n")
	for i := range 200_000 { // 20 MB of answer: more than what lies between server and client
		fmt.Fprintf(&csv, "+1555%07d,%050d\n", 1_000_000+i, i)
	}
	upload := sending{Credential: "second", Headers: map[string]string{"Content-Type": "text/csv"}}
	if a := from.sendAgain("PUT", audiencesPath+"/large/leads", []byte(csv.String()), upload); a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.body)
	}
	second := sending{Credential: "second"}
	from.sendAgain("PUT", "/api/v1/sends/large", []byte(`{"audience":{"audienceId":"large"},"eventFilters":[]}`), second)
	second.Query = "wait=true"
	if a := from.sendAgain("POST", "/api/v1/sends/large/materialize", nil, second); a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.body)
	}
	from.limit(nextOrg, `{"concurrentExports":1}`)
	settled(t)

	header := http.Header{}
	from.credentials["second"](header, nil)
	conn, err := net.Dial("tcp", strings.TrimPrefix(bases[0], "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := fmt.Fprintf(conn, "GET /api/v1/sends/large/leads HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\n\r\n", header.Get("Authorization")); err != nil {
		t.Fatal(err)
	}
	ok := make([]byte, len("HTTP/1.1 200"))
	if _, err := io.ReadFull(conn, ok); err != nil || string(ok) != "HTTP/1.1 200" {
		t.Fatalf("%s, %v", ok, err)
	}
	ask := func(credential string) answered {
		a, err := from.ask(bases[1], "GET", "/api/v1/sends/large/leads", "", credential)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	if a := ask("second"); !a.refusedBy(t, leadevents.ConcurrentExports) {
		t.Errorf("a second result at once: %d", a.status)
	}
	if a := ask("apiKey"); a.status != http.StatusNotFound {
		t.Errorf("another organization: %d %.200s", a.status, a.body)
	}
	_ = conn.Close()
	eventually(t, "the place is free when the client has gone", func() bool { return ask("second").status == http.StatusOK })
	eventually(t, "and when it has read all", func() bool { return ask("second").status == http.StatusOK })
}

// However many make audiences at once, there are as many as there may be; those that are
// there are replaced as before.
func TestStoredAudiences(t *testing.T) {
	from, bases := limited(t, patient(t))
	leads := `{"leads":[{"phoneE164":"+15551234567"}]}`
	from.limit(nextOrg, `{"storedAudiences":3}`)
	settled(t)
	var made, full atomic.Int64
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for {
				a, err := from.ask(bases[i%2], []string{"PUT", "POST"}[i/2%2], fmt.Sprintf("%s/a%d/leads", audiencesPath, i), leads, "second")
				switch {
				case err == nil && a.status == http.StatusServiceUnavailable:
					continue
				case err == nil && a.status == http.StatusOK:
					made.Add(1)
				case err == nil && a.status == http.StatusConflict && strings.Contains(string(a.body), "(storedAudiences)"):
					full.Add(1)
				default:
					t.Errorf("%d %s, %v", a.status, a.body, err)
				}
				return
			}
		})
	}
	all.Wait()
	list := from.sendAgain("GET", audiencesPath, nil, sending{Credential: "second"})
	if n := strings.Count(string(list.body), `"audienceId"`); n != 3 || made.Load() != 3 || full.Load() != 5 {
		t.Fatalf("%d audiences, %d made, %d refused; want 3, 3, 5: %s", n, made.Load(), full.Load(), list.body)
	}
	at := strings.Index(string(list.body), `"audienceId":"`) + len(`"audienceId":"`)
	path := audiencesPath + "/" + string(list.body[at:at+2])
	second := sending{Credential: "second"}
	for _, method := range []string{"PUT", "POST"} {
		if a := from.sendAgain(method, path+"/leads", []byte(leads), second); a.status != http.StatusOK {
			t.Errorf("%s to one that is there: %d %s", method, a.status, a.body)
		}
	}
	if a := from.sendAgain("PUT", audiencesPath+"/new/leads", []byte(leads), second); a.status != http.StatusConflict {
		t.Errorf("a fourth: %d %s", a.status, a.body)
	}
	if a := from.sendAgain("PUT", audiencesPath+"/new/leads", []byte(leads), sending{}); a.status != http.StatusOK {
		t.Errorf("another organization: %d %s", a.status, a.body)
	}
	if a := from.sendAgain("DELETE", path, nil, second); a.status != http.StatusNoContent {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if a := from.sendAgain("PUT", audiencesPath+"/new/leads", []byte(leads), second); a.status != http.StatusOK {
		t.Errorf("where one was deleted: %d %s", a.status, a.body)
	}
}
