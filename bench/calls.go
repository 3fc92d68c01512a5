package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"leadevents/ingest/ledger"
)

// answer is the counts of a call.
type answer struct{ Received, Inserted, Duplicates, Rejected int }

// allNew is an error unless a call's events were all new but those that have one key with
// another: want of them in the call itself; up to a thousandth with an earlier call, by chance.
func (a answer) allNew(want uint64) error {
	if a.Inserted+a.Duplicates != callRows || a.Inserted > int(want) || a.Inserted < int(want)-callRows/1000 {
		return fmt.Errorf("%d of %d were inserted and %d duplicates, not %d inserted", a.Inserted, a.Received, a.Duplicates, want)
	}
	return nil
}

// refusal is an answer other than 200.
type refusal struct {
	status int
	after  time.Duration // its Retry-After; zero without one
	body   string
}

func (e *refusal) Error() string { return fmt.Sprintf("the server answered %d: %s", e.status, e.body) }

// post sends one call; any status but 200 is a *refusal.
func (s *server) post(body []byte) (answer, error) { return s.postKeyed(body, "") }

// postKeyed is post with an Idempotency-Key, if it is not empty.
func (s *server) postKeyed(body []byte, key string) (answer, error) {
	request, response := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(request)
	defer fasthttp.ReleaseResponse(response)
	s.fill(request, body)
	if key != "" {
		request.Header.Set("Idempotency-Key", key)
	}
	var a answer
	if err := s.client.Do(request, response); err != nil {
		return a, fmt.Errorf("send %d bytes: %w", len(body), err)
	}
	if response.StatusCode() != fasthttp.StatusOK {
		seconds, _ := strconv.Atoi(string(response.Header.Peek(fasthttp.HeaderRetryAfter)))
		return a, &refusal{response.StatusCode(), time.Duration(seconds) * time.Second, string(response.Body())}
	}
	return a, json.Unmarshal(response.Body(), &a)
}

// fill makes a request a call with that body, which has to stay until it is sent.
func (s *server) fill(request *fasthttp.Request, body []byte) {
	request.SetRequestURI(s.URL + eventsPath)
	request.Header.SetMethod(fasthttp.MethodPost)
	request.Header.SetContentType("application/json")
	request.Header.Set(fasthttp.HeaderAuthorization, "Bearer "+s.APIKey)
	request.SetBodyRaw(body)
}

// metrics reads /metrics: the value of each series, by its name and labels as
// they stand there.
func (s *server) metrics() (map[string]float64, error) {
	status, body, err := s.client.Get(nil, s.URL+"/metrics")
	if err != nil || status != fasthttp.StatusOK {
		return nil, errors.Join(fmt.Errorf("read /metrics: status %d", status), err)
	}
	all := map[string]float64{}
	for line := range strings.Lines(string(body)) {
		line = strings.TrimSpace(line)
		space := strings.LastIndexByte(line, ' ')
		if space < 0 || line[0] == '#' {
			continue
		}
		if all[line[:space]], err = strconv.ParseFloat(line[space+1:], 64); err != nil {
			return nil, fmt.Errorf("read /metrics: %w", err)
		}
	}
	return all, nil
}

// steps reads how many seconds each step of the write path has taken in all.
func (s *server) steps() (map[string]float64, error) {
	series, err := s.metrics()
	if err != nil {
		return nil, err
	}
	all := map[string]float64{}
	for name, value := range series {
		if step, ok := strings.CutPrefix(name, `leadevents_ingest_step_seconds_sum{step="`); ok {
			all[strings.TrimSuffix(step, `"}`)] = value
		}
	}
	return all, nil
}

// ledger reads what /readyz says of the ledger, and whether the server is ready.
func (s *server) ledger() (status ledger.Status, ready bool, err error) {
	code, body, err := s.client.Get(nil, s.URL+"/readyz")
	if err != nil {
		return status, false, fmt.Errorf("read /readyz: %w", err)
	}
	var answer struct {
		Checks struct {
			Ledger struct{ Detail ledger.Status }
		}
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return status, false, fmt.Errorf("read /readyz: %w", err)
	}
	return answer.Checks.Ledger.Detail, code == fasthttp.StatusOK, nil
}

// peakMemory is the most that the process has held in memory, in MiB.
func (s *server) peakMemory() (float64, error) {
	kib, err := strconv.Atoi(strings.TrimSuffix(field(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid), "VmHWM"), " kB"))
	if err != nil {
		return 0, fmt.Errorf("read the server's peak memory: %w", err)
	}
	return float64(kib) / 1024, nil
}
