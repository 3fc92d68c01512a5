package app

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"leadevents"
)

// What was acknowledged before the call is in the result, whichever process
// answered which, while other calls fill the group commit's queues.
func TestWhatWasAcknowledgedIsInTheResult(t *testing.T) {
	from, s := served(t)
	second, stop := startServe(t, s, &logOf{})
	t.Cleanup(stop)
	other := &sender{t: t, base: second, router: from.router, credentials: from.credentials}

	ended := make(chan struct{})
	var load sync.WaitGroup
	for worker := range 4 {
		load.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-ended:
					return
				default:
				}
				body := callBody("noise", rowOf(`"`+phoneOf(worker)+`"`, fmt.Sprintf(`"2026-05-12T18:34:00.%03dZ"`, i%1000), `{}`))
				if a, _ := from.ingest(body, sending{}); a.status != http.StatusOK {
					t.Errorf("%d %s", a.status, a.body)
					return
				}
			}
		})
	}
	last := ""
	for i := range 25 {
		ingester, materializer := from, other
		if i%2 == 1 {
			ingester, materializer = other, from
		}
		lead, id := 1000+i, fmt.Sprint("s", i)
		materializer.do(http.MethodPut, "/api/v1/sends/"+id, object{"audience": phonesOf(lead), "eventFilters": []any{
			object{"mode": "include", "eventType": "fresh", "within": object{"minutes": 5}}, object{"mode": "exclude", "eventType": "never"},
		}}, sending{}, http.StatusCreated, nil)
		ingester.stored("fresh", time.Now(), `{}`, lead)
		send := materializer.materialize(id)
		if *send.Kept != 1 {
			t.Errorf("round %d: acknowledged before the materialization, and not in it: %+v", i, send)
		}
		// As of a moment between the call and its answer, by one clock.
		if *send.AsOf <= last || *send.MaterializedAt < *send.AsOf || *send.FireAt != *send.AsOf {
			t.Errorf("as of %s, fires at %s, materialized at %s, after one as of %s", *send.AsOf, *send.FireAt, *send.MaterializedAt, last)
		}
		last = *send.AsOf
	}
	close(ended)
	load.Wait()
}

// A send that is materialized while its audience is being replaced has the old
// leads or the new ones, never some of both.
func TestAnAudienceThatIsReplacedIsNeverAMix(t *testing.T) {
	from, _ := served(t)
	versions := [][]int{make([]int, 300), make([]int, 300)}
	for i := range 300 {
		versions[0][i], versions[1][i] = 2*i, 2*i+1
	}
	from.put(t, "moving", versions[0]...)
	ended, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for i := 1; ; i++ {
			select {
			case <-ended:
				return
			default:
				from.put(t, "moving", versions[i%2]...)
			}
		}
	}()
	for i := range 12 {
		id := fmt.Sprint("s", i)
		from.do(http.MethodPut, "/api/v1/sends/"+id, object{"audience": object{"audienceId": "moving"}, "eventFilters": []any{}}, sending{}, http.StatusCreated, nil)
		send := from.materialize(id)
		parity := map[byte]int{}
		for line := range strings.Lines(from.leads(id, "csv")) {
			if phone, _, _ := strings.Cut(line, ","); phone[0] == '+' {
				parity[(phone[len(phone)-1]-'0')%2]++
			}
		}
		if len(parity) != 1 || *send.Total != 300 || *send.Kept != 300 {
			t.Errorf("%d leads: %v of them even and odd", *send.Total, parity)
		}
	}
	close(ended)
	<-done
}

// A stop while a send is waited for answers the call, and the next start goes on.
func TestAStopLeavesASendToTheNextStart(t *testing.T) {
	from, s := served(t)
	// One worker, so that the stop finds most of them queued.
	s.Sends.Workers, s.Sends.Queue, s.Sends.Lease = 1, 200, time.Minute
	base, stop := startServe(t, s, &logOf{})
	busy := &sender{t: t, base: base, router: from.router, credentials: from.credentials}
	leads := make([]int, 50)
	for i := range leads {
		leads[i] = i
	}
	from.put(t, "many", leads...)
	const sends = 20
	for i := range sends {
		id := fmt.Sprint("s", i)
		busy.do(http.MethodPut, "/api/v1/sends/"+id, object{"audience": object{"audienceId": "many"}, "eventFilters": []any{filterOf("exclude", "a")}}, sending{}, http.StatusCreated, nil)
		busy.do(http.MethodPost, "/api/v1/sends/"+id+"/materialize", nil, sending{}, http.StatusAccepted, nil)
	}
	stop() // and a minute's lease is given up, not waited for
	began := time.Now()
	for i := range sends {
		if send := from.materialize(fmt.Sprint("s", i)); *send.Kept != 50 {
			t.Errorf("%+v", send)
		}
	}
	if took := time.Since(began); took > 50*time.Second {
		t.Errorf("it took %s", took)
	}
	db := storeOf(t, s)
	for i := range sends {
		log, err := db.SendLog(t.Context(), leadevents.OrgID(42), fmt.Sprint("s", i))
		if err != nil {
			t.Fatal(err)
		}
		if _, done := log.Result(); done == nil {
			t.Errorf("send %d has no result", i)
		}
	}
}
