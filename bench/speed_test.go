package main

import (
	"bytes"
	"context"
	"net"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

func TestRatiosAreOfOneRound(t *testing.T) {
	const s = time.Second
	samples := map[string]sample{
		speedNew:    {4 * s, 9 * s, 2 * s},
		floorRedis:  {1 * s, 2 * s, 3 * s},
		floorInsert: {1 * s, 1 * s, 1 * s},
	}
	row := pickRows(regexp.MustCompile("^floor$"))[0]
	got, err := row.measured(samples, nil)
	if want := []float64{2, 3, 0.5}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	if samples[floorRedis][0] != s {
		t.Error("adding up the floor's halves has changed what was measured")
	}
	delete(samples, floorInsert)
	if _, err := row.measured(samples, nil); err == nil || !strings.Contains(err.Error(), floorInsert) {
		t.Errorf("half of a floor: %v", err)
	}
	samples[floorInsert] = sample{s}
	if _, err := row.measured(samples, nil); err == nil {
		t.Error("a floor with fewer rounds is taken for one")
	}
	memory := pickRows(regexp.MustCompile("^memory$"))[0]
	if _, err := memory.measured(samples, nil); err == nil {
		t.Error("memory that nobody has measured is taken for a figure")
	}
}

func TestVerdictsFollowTheirGoals(t *testing.T) {
	low, high := speedRow{must: 1.6, aim: 1.2}, speedRow{must: 0.7, aim: 1, atLeast: true}
	for _, c := range []struct {
		row   speedRow
		value float64
		want  string
	}{
		{low, 1.2, "aim"}, {low, 1.21, "must"}, {low, 1.6, "must"}, {low, 1.61, "**no**"},
		{high, 1, "aim"}, {high, 0.99, "must"}, {high, 0.7, "must"}, {high, 0.69, "**no**"},
	} {
		if got := c.row.verdict(c.value); got != c.want {
			t.Errorf("%v of %s / %s: %s, want %s", c.value, c.row.goal(c.row.must), c.row.goal(c.row.aim), got, c.want)
		}
	}
	for _, row := range speedTable() {
		if row.atLeast != (row.aim > row.must) {
			t.Errorf("%s: the aim %v is no harder than the must %v", row.name, row.aim, row.must)
		}
	}
}

// `make bench` without a name has to be the command with its name: its flags, its context.
func TestWithoutANameItIsSpeed(t *testing.T) {
	root := newRoot()
	root.SetArgs([]string{"--only", "no such row"})
	err := root.ExecuteContext(t.Context())
	if err == nil || !strings.Contains(err.Error(), speedNames()) {
		t.Errorf("a pattern without a row: %v", err)
	}
	speed, _, err := root.Find([]string{"speed"})
	if err != nil || speed.Name() != "speed" || speed.Context() != t.Context() {
		t.Errorf("%v: its context is not that of the program", err)
	}
}

// Without all that loads the server, its peak would be of something else.
func TestMemoryIsThatUnderAllLoads(t *testing.T) {
	needs := contestantsOf(pickRows(regexp.MustCompile("^memory$")))
	for _, load := range []string{speedNew, speedAgain, speedOld, speedSustained, speedMany, speedSome} {
		if !needs[load] {
			t.Errorf("%q is not run for the memory alone", load)
		}
	}
	for _, peer := range []string{speedPostgres, speedNaive, speedFew, floorRedis} {
		if needs[peer] {
			t.Errorf("%q is run for the memory of ours", peer)
		}
	}
	if rows := pickRows(regexp.MustCompile("")); len(rows) != len(speedTable()) {
		t.Errorf("no pattern picks %d rows of %d", len(rows), len(speedTable()))
	}
}

// What is said to be new has to be so in a second run of the same calls, too: the
// numbers of calls must not meet.
func TestTheCallsOfContestantsNeverMeet(t *testing.T) {
	const mostRounds = 10_000
	firsts := []uint64{liveCalls, againCalls, sustainedLoads, floorLoads, oldCalls}
	for i, first := range firsts {
		if first%256 != 0 {
			t.Errorf("calls from %d on are of other types than those from 0 on", first)
		}
		if i > 0 && first-firsts[i-1] < mostRounds*sustainedCalls {
			t.Errorf("calls from %d on meet those from %d on", firsts[i-1], first)
		}
	}
	if stored := uint64(1_000_000_000); oldCalls < stored/callRows {
		t.Errorf("old calls are stored already among %d rows", stored)
	}
}

func TestFiberAnswersWhatOursHasAnswered(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	const text = `{"received":1,"inserted":1}`
	go func() { ended <- fiberPeer{Answer: text, ContentType: "application/json"}.serve(ctx, ln) }()
	client := &fasthttp.Client{ReadTimeout: startLimit, WriteTimeout: startLimit}
	s := &server{URL: "http://" + ln.Addr().String()}
	for _, body := range []string{`{"events":[]}`, strings.Repeat("x", 1<<20)} {
		request, response := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
		s.fill(request, []byte(body))
		if err := client.Do(request, response); err != nil {
			t.Fatal(err)
		}
		if response.StatusCode() != 200 || !bytes.Equal(response.Body(), []byte(text)) || string(response.Header.ContentType()) != "application/json" {
			t.Errorf("%d %s: %s", response.StatusCode(), response.Header.ContentType(), response.Body())
		}
	}
	client.CloseIdleConnections()
	stop()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(stopLimit):
		t.Fatal("it does not end with its context")
	}
}
